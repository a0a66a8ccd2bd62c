import { ConnectError } from "@connectrpc/connect";
import type { Callers } from "./callers.ts";
import type { Credentials } from "./credentials.ts";
import { unauthenticated } from "./refusals.ts";
import { ALL_ROLES, type Roles } from "./roles.ts";

/** Who calls, and what they may. */
export interface Identity {
  /** Empty: nobody has to say. */
  readonly name: string;
  readonly roles: Roles;
}

/** What callers have to show. */
export interface IdentityRules {
  /** Absent: there are no tokens. */
  readonly callers: Callers | undefined;
  /** Whether a connection without a client certificate that the listener has verified is nobody's. */
  readonly clientCertificates: boolean;
  readonly now: () => number;
}

/** Nobody has to say who they are: whoever can connect may do everything. */
const NOBODY: Identity = { name: "", roles: ALL_ROLES };

/** Who somebody with these credentials is now; an error when nobody that may call. */
export function identify(
  { token, certificate }: Credentials,
  { callers, clientCertificates, now }: IdentityRules,
): Identity | ConnectError {
  if (clientCertificates) {
    if (certificate === undefined)
      return unauthenticated("a client certificate is needed");
    if (certificate.expiresAtMs < now())
      return unauthenticated("the client certificate has expired");
  }
  if (callers === undefined) {
    if (certificate === undefined || !clientCertificates) return NOBODY;
    // Whom the authority has given one is trusted with everything: there is no file that says less.
    return { name: certificate.name || "(no name)", roles: ALL_ROLES };
  }
  if (token === "unusable")
    return unauthenticated(
      'it is no token of this control plane\'s: those are sent as "Bearer hf_…"',
    );
  const found =
    token === "none"
      ? certificate && callers.byCertificate(certificate.name)
      : callers.byDigest(token);
  if (found === undefined)
    return unauthenticated(
      token === "none"
        ? 'a token is needed: "Authorization: Bearer hf_…" (the holdfast command has --token-file, and HOLDFAST_TOKEN in the environment)'
        : "the token is not known here, or not any more",
    );
  if (found.expiresAtMs !== undefined && found.expiresAtMs <= now())
    return unauthenticated(
      `what "${found.name}" calls with has expired on ${new Date(found.expiresAtMs).toISOString()}`,
    );
  return found;
}
