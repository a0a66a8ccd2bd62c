import type { JwtSecret } from "../../gen/holdfast/config/v1/consumer_pb.js";
import { parsePublicKey } from "../pem.ts";
import { show, type Problem } from "../problem.ts";

/** What a public key must be for an algorithm. */
interface KeyNeed {
  readonly types: readonly string[];
  readonly curve?: string;
}

const NEEDS: ReadonlyMap<string, KeyNeed> = new Map([
  ...["RS256", "RS384", "RS512"].map((name): [string, KeyNeed] => [
    name,
    { types: ["rsa"] },
  ]),
  ...["PS256", "PS384", "PS512"].map((name): [string, KeyNeed] => [
    name,
    { types: ["rsa", "rsa-pss"] },
  ]),
  ["ES256", { types: ["ec"], curve: "prime256v1" }],
  ["ES384", { types: ["ec"], curve: "secp384r1" }],
  ["ES512", { types: ["ec"], curve: "secp521r1" }],
  ["EdDSA", { types: ["ed25519", "ed448"] }],
]);

/** What is wrong with a JWT secret beyond the rules of its single fields. */
export function jwtSecretProblems(jwt: JwtSecret): Problem[] {
  const algorithm = jwt.algorithm ?? "HS256";
  const need = NEEDS.get(algorithm);
  if (need === undefined)
    return algorithm.startsWith("HS") && jwt.secret === ""
      ? [{ field: "secret", reason: `is required with algorithm ${algorithm}` }]
      : [];
  if (jwt.rsaPublicKey === "")
    return [
      {
        field: "rsa_public_key",
        reason: `is required with algorithm ${algorithm}`,
      },
    ];
  const parsed = parsePublicKey(jwt.rsaPublicKey);
  if (!parsed.ok) return [{ field: "rsa_public_key", reason: parsed.reason }];
  const type = parsed.value.asymmetricKeyType ?? "";
  const curve = parsed.value.asymmetricKeyDetails?.namedCurve;
  const fits =
    need.types.includes(type) &&
    (need.curve === undefined || need.curve === curve);
  if (fits) return [];
  const wanted = need.curve ?? need.types.join(" or ");
  return [
    {
      field: "rsa_public_key",
      reason: `must be a key of type ${wanted} with algorithm ${algorithm}, got ${show(curve ?? type)}`,
    },
  ];
}
