import { validateHeaderName, validateHeaderValue } from "node:http";
import type { OutgoingHttpHeaders } from "node:http2";

/** Headers that are of one connection of HTTP/1.1, and that HTTP/2 forbids. */
const OF_HTTP1: ReadonlySet<string> = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Raw headers of HTTP/2 without what stands for the first line of HTTP/1.1. */
export function withoutPseudoHeaders(raw: readonly string[]): string[] {
  const rest: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (!name.startsWith(":")) rest.push(name, raw[i + 1] ?? "");
  }
  return rest;
}

/**
 * Names and values by turns as node's HTTP/2 takes them. What belongs to a connection of HTTP/1.1 is left out; of a header
 * that may have one value only, the first counts.
 *
 * @throws TypeError when a name or a value cannot be sent.
 */
export function toHttp2Headers(raw: readonly string[]): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] ?? "").toLowerCase();
    const value = raw[i + 1] ?? "";
    if (OF_HTTP1.has(name) || (name === "te" && value !== "trailers")) continue;
    validateHeaderName(name);
    validateHeaderValue(name, value);
    const before = headers[name];
    if (before === undefined) headers[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else if (!SINGLE.has(name)) headers[name] = [String(before), value];
  }
  return headers;
}

/** Headers of which node's HTTP/2 sends one only. */
const SINGLE: ReadonlySet<string> = new Set([
  "access-control-allow-credentials",
  "access-control-max-age",
  "access-control-request-method",
  "age",
  "authorization",
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-md5",
  "content-range",
  "content-type",
  "date",
  "dnt",
  "etag",
  "expires",
  "from",
  "host",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "location",
  "max-forwards",
  "proxy-authorization",
  "range",
  "referer",
  "retry-after",
  "tk",
  "upgrade-insecure-requests",
  "user-agent",
  "x-content-type-options",
]);
