import type {
  IncomingHttpHeaders as Http2Headers,
  ServerHttp2Stream,
} from "node:http2";
import { Http2Message } from "../http2/http2-message.ts";
import type { DownstreamRequest } from "./message.ts";

/** A client's request that came by HTTP/2. */
export class Http2Request extends Http2Message implements DownstreamRequest {
  readonly method: string;
  readonly url: string;
  readonly openEnded: boolean;
  #distinct: NodeJS.Dict<string[]> | undefined;

  constructor(
    stream: ServerHttp2Stream,
    headers: Http2Headers,
    rawHeaders: readonly string[],
  ) {
    const authority = headers[":authority"];
    if (authority !== undefined) headers.host = authority;
    const bodiless = stream.endAfterHeaders;
    super(
      stream,
      { headers, rawHeaders: asInHttp1(authority, rawHeaders) },
      bodiless,
    );
    this.method = headers[":method"] ?? "";
    this.url = headers[":path"] ?? "";
    this.openEnded = !bodiless && headers["content-length"] === undefined;
  }

  get headersDistinct(): NodeJS.Dict<string[]> {
    return (this.#distinct ??= distinct(this.rawHeaders));
  }
}

/** The headers as HTTP/1.1 would have them: with a Host, and with one Cookie instead of its crumbs (RFC 9113, 8.2.3, 8.3.1). */
function asInHttp1(
  authority: string | undefined,
  rawHeaders: readonly string[],
): string[] {
  const raw: string[] = [];
  if (authority !== undefined) raw.push("host", authority);
  const crumbs: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const value = rawHeaders[i + 1] ?? "";
    if (name.startsWith(":")) continue;
    if (name === "cookie") crumbs.push(value);
    // A second host that differs stays: two are refused, wherever they come from.
    else if (name !== "host" || value !== authority) raw.push(name, value);
  }
  if (crumbs.length > 0) raw.push("cookie", crumbs.join("; "));
  return raw;
}

function distinct(raw: readonly string[]): NodeJS.Dict<string[]> {
  const headers: NodeJS.Dict<string[]> = {};
  for (let i = 0; i + 1 < raw.length; i += 2)
    (headers[raw[i] ?? ""] ??= []).push(raw[i + 1] ?? "");
  return headers;
}
