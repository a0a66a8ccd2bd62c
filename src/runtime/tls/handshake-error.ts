import type { GivenUp } from "../connection-listener.ts";
import { HandshakeError } from "./handshake-report.ts";

/** Bytes that are no TLS at all. */
const NOT_TLS =
  /WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|RECORD_TOO_SMALL|BAD_RECORD_TYPE|INVALID_RECORD/;

/** What went wrong in a handshake, in words. */
export function handshakeErrorOf(error: unknown): HandshakeError {
  if (error instanceof HandshakeError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code =
    error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ERR_TLS_HANDSHAKE_TIMEOUT") return givenUp("timeout");
  if (code === "ECONNRESET" || code === "EPIPE" || code === "ECONNABORTED")
    return new HandshakeError("closed", "it hung up during the handshake");
  if (NOT_TLS.test(code))
    return new HandshakeError(
      "not_tls",
      `it does not speak TLS: was it started with --insecure-sync? (${code})`,
    );
  if (code.startsWith("ERR_SSL"))
    return new HandshakeError("protocol", `the TLS handshake failed: ${code}`);
  return new HandshakeError("other", message);
}

/** What to say of a peer that took too long. */
export function givenUp(why: GivenUp): HandshakeError {
  switch (why) {
    case "timeout":
      return new HandshakeError(
        why,
        "it has not finished the TLS handshake in time",
      );
    case "hurried":
      return new HandshakeError(
        why,
        "it was slow in the TLS handshake while many others waited: is this port open to strangers?",
      );
    default:
      return why satisfies never;
  }
}
