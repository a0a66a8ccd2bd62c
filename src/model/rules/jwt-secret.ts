import type { JwtSecret } from "../../gen/holdfast/config/v1/consumer_pb.js";
import { parsePublicKey } from "../pem.ts";
import { show, type Problem } from "../problem.ts";

/** What a public key must be for an algorithm. */
interface KeyNeed {
  readonly type: string;
  readonly curve?: string;
}

/** Shorter keys of RSA can be broken, and data planes do not verify with them. */
const MIN_RSA_BITS = 2048;

const NEEDS: ReadonlyMap<string, KeyNeed> = new Map([
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(
    (name): [string, KeyNeed] => [name, { type: "rsa" }],
  ),
  ["ES256", { type: "ec", curve: "prime256v1" }],
  ["ES384", { type: "ec", curve: "secp384r1" }],
  ["ES512", { type: "ec", curve: "secp521r1" }],
  ["EdDSA", { type: "ed25519" }],
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
  const { namedCurve: curve, modulusLength: bits } =
    parsed.value.asymmetricKeyDetails ?? {};
  if (type !== need.type || (need.curve !== undefined && need.curve !== curve))
    return [
      {
        field: "rsa_public_key",
        reason: `must be a key of type ${need.curve ?? need.type} with algorithm ${algorithm}, got ${show(curve ?? type)}`,
      },
    ];
  return type === "rsa" && (bits ?? 0) < MIN_RSA_BITS
    ? [
        {
          field: "rsa_public_key",
          reason: `must have at least ${MIN_RSA_BITS} bits, got ${bits}`,
        },
      ]
    : [];
}
