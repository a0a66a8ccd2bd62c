import type { IncomingMessage } from "node:http";
import { tokensOf } from "../proxy/hop-by-hop.ts";

/** Tokens of the Connection header that belong to an upgrade. */
const UPGRADING = new Set(["upgrade", "http2-settings"]);

/**
 * The head of a request that asks for an upgrade which we do not make, without that wish: as bytes to be read anew. A
 * server may ignore the wish, and clients (those of Java, `curl --http2`) count on it, but node hands every such
 * connection over, body unread.
 */
export function asOrdinaryRequest(request: IncomingMessage): Buffer {
  const { method = "", url = "", httpVersion, rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const lower = name.toLowerCase();
    if (
      lower !== "connection" &&
      lower !== "upgrade" &&
      lower !== "http2-settings"
    )
      lines.push(`${name}: ${rawHeaders[i + 1] ?? ""}`);
  }
  const rest = tokensOf(rawHeaders, "connection").filter(
    (token) => !UPGRADING.has(token),
  );
  if (rest.length > 0) lines.push(`Connection: ${rest.join(", ")}`);
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}
