import type { Answer } from "../../plugins/plugin.ts";

/** Why a request did not get an answer from its upstream. */
export interface Failure {
  readonly reason:
    | "unreachable"
    | "unresolved"
    | "resolver-failed"
    | "refused-tls"
    | "timed-out"
    | "bad-response"
    | "no-peer"
    | "client-timed-out"
    | "body-too-large"
    | "internal";
  /** For the log: what happened, with the system's words. */
  readonly detail: string;
  /** Whether another attempt may be made: the upstream has not begun with this one. */
  readonly retriable: boolean;
  /** The answer to the client, when it is not the usual one. */
  readonly answer?: Answer;
}

/** An upstream, or the client, did nothing for too long. */
export class TimedOut extends Error {
  override readonly name = "TimedOut";
}

/** What a failure to connect means. Nothing was sent yet, so all of them may be tried again. */
export function connectFailure(error: unknown): Failure {
  const detail = detailOf(error);
  const code = codeOf(error);
  const retriable = true;
  if (error instanceof TimedOut)
    return { reason: "timed-out", detail, retriable };
  if (code === "ENOTFOUND" || code === "ENODATA")
    return { reason: "unresolved", detail, retriable };
  if (code.startsWith("EAI_") || code === "ETIMEOUT" || code === "ESERVFAIL")
    return { reason: "resolver-failed", detail, retriable };
  if (isTls(code)) return { reason: "refused-tls", detail, retriable };
  return { reason: "unreachable", detail, retriable };
}

/** What a failure after connecting means. */
export function exchangeFailure(error: unknown, retriable: boolean): Failure {
  return {
    reason: error instanceof TimedOut ? "timed-out" : "bad-response",
    detail: detailOf(error),
    retriable,
  };
}

/** The answer to a client whose request failed. */
export function failureAnswer({ reason, answer }: Failure): Answer {
  return answer ?? ANSWERS[reason];
}

const ANSWERS: Readonly<Record<Failure["reason"], Answer>> = {
  unreachable: {
    status: 503,
    message: "The upstream server is currently unavailable",
  },
  unresolved: { status: 503, message: "name resolution failed" },
  "resolver-failed": { status: 500, message: "An unexpected error occurred" },
  "refused-tls": {
    status: 502,
    message: "An invalid response was received from the upstream server",
  },
  "timed-out": { status: 504, message: "The upstream server is timing out" },
  "bad-response": {
    status: 502,
    message: "An invalid response was received from the upstream server",
  },
  "no-peer": {
    status: 503,
    message: "failure to get a peer from the ring-balancer",
  },
  "client-timed-out": { status: 408, message: "Request timeout" },
  "body-too-large": { status: 413, message: "Payload too large" },
  internal: { status: 500, message: "An unexpected error occurred" },
};

/** The codes of OpenSSL and of node's own checks of certificates. */
function isTls(code: string): boolean {
  return /^(ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH$|INVALID_CA$|PATH_LENGTH_EXCEEDED$)/.test(
    code,
  );
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function detailOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = codeOf(error);
  return code === "" || error.message.includes(code)
    ? error.message
    : `${code}: ${error.message}`;
}
