import type { JwtConfig } from "../../../gen/holdfast/plugin/v1/jwt_pb.js";
import type { UnverifiedToken } from "./read-token.ts";

/** What a claim about time must be. Seconds since the Unix epoch. */
const CHECKS: Readonly<
  Record<string, (seconds: number, now: number) => string | undefined>
> = {
  exp: (seconds, now) => (seconds <= now ? "token expired" : undefined),
  nbf: (seconds, now) => (seconds > now ? "token not valid yet" : undefined),
  iat: (seconds, now) =>
    seconds > now ? "token issued in the future" : undefined,
};

/** What is wrong with a token's claims about time, by claim; empty for nothing. */
export function claimProblems(
  config: JwtConfig,
  { claims }: UnverifiedToken,
  nowMs: number,
): Readonly<Record<string, string>> {
  const now = nowMs / 1000;
  const problems: Record<string, string> = {};
  for (const name of config.claimsToVerify) {
    const value = claims[name];
    const problem =
      typeof value === "number"
        ? CHECKS[name]?.(value, now)
        : "must be a number";
    if (problem !== undefined) problems[name] = problem;
  }
  if (Object.keys(problems).length > 0) return problems;
  const { exp } = claims;
  const most = config.maximumExpiration ?? 0;
  return most > 0 && typeof exp === "number" && exp - now > most
    ? { exp: "exceeds maximum allowed expiration" }
    : {};
}
