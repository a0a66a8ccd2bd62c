import {
  JwtConfigSchema,
  type JwtConfig,
} from "../../../gen/holdfast/plugin/v1/jwt_pb.js";
import {
  challengeOf,
  requireConsumer,
  unauthorized,
} from "../authentication.ts";
import {
  definePlugin,
  type Answer,
  type Exchange,
  type PluginHandlers,
} from "../plugin.ts";
import { claimProblems } from "./claims.ts";
import { findTokens } from "./find-tokens.ts";
import { readToken, type UnverifiedToken } from "./read-token.ts";
import { SignatureVerifier } from "./verify.ts";

/** "jwt": a request needs a token that is signed with the key of a consumer. */
export const jwt = definePlugin({
  name: "jwt",
  version: 1,
  priority: 1450,
  schema: JwtConfigSchema,
  create: (config, { clock }): PluginHandlers => {
    const verifier = new SignatureVerifier(config);
    return {
      access: (exchange) =>
        requireConsumer(config, exchange, () =>
          authenticate(config, exchange, { verifier, nowMs: clock.now() }),
        ),
    };
  },
});

async function authenticate(
  config: JwtConfig,
  exchange: Exchange,
  tools: { readonly verifier: SignatureVerifier; readonly nowMs: number },
): Promise<Answer | undefined> {
  const { realm } = config;
  const tokens = findTokens(config, exchange.request);
  const [text] = tokens;
  if (text === undefined)
    return unauthorized("Unauthorized", challengeOf("Bearer", { realm }));
  const challenge = challengeOf("Bearer", { realm, error: "invalid_token" });
  if (tokens.size > 1)
    return unauthorized("Multiple tokens provided", challenge);
  const read = readToken(text);
  if (!read.ok) return unauthorized(`Bad token; ${read.reason}`, challenge);
  const { token } = read;
  const name = config.keyClaimName ?? "iss";
  const key = keyNamedBy(token, name);
  if (key === undefined)
    return unauthorized(`No mandatory '${name}' in claims`, challenge);
  if (key === "" || typeof key !== "string")
    return unauthorized(`Invalid '${name}' in claims`, challenge);
  const owner = exchange.consumers.byTokenKey(key);
  if (owner === undefined)
    return unauthorized(`No credentials found for given '${name}'`, challenge);
  if (token.header["alg"] !== owner.algorithm)
    return unauthorized("Invalid algorithm", challenge);
  const verdict = await tools.verifier.verify(text, owner);
  if (verdict === "bad-key")
    return unauthorized("Invalid key/secret", challenge);
  if (verdict === "bad-signature")
    return unauthorized("Invalid signature", challenge);
  const problems = claimProblems(config, token, tools.nowMs);
  if (Object.keys(problems).length > 0)
    return {
      status: 401,
      headers: { "WWW-Authenticate": challenge },
      body: problems,
    };
  exchange.authenticate(owner.consumer, owner.credentialId);
  return undefined;
}

/** What a token calls its key: by a claim, else in its header. */
function keyNamedBy(
  { claims, header }: UnverifiedToken,
  name: string,
): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  return Object.hasOwn(header, name) ? header[name] : undefined;
}
