import { EventEmitter } from "node:events";
import type { IncomingHttpHeaders } from "node:http";
import type {
  IncomingHttpHeaders as Http2Headers,
  ServerHttp2Stream,
} from "node:http2";
import type { DownstreamRequest } from "./message.ts";
import { withoutPseudoHeaders } from "./raw-headers.ts";

/**
 * A client's request that came by HTTP/2. Unlike its stream it does not "end" when the client breaks off: what has come
 * of a body would look like all of it.
 */
export class Http2Request extends EventEmitter implements DownstreamRequest {
  readonly httpVersion = "2";
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: string[];
  readonly headers: IncomingHttpHeaders;
  rawTrailers: string[] = [];
  /** Whether there is a body whose length only its end tells. */
  readonly openEnded: boolean;
  readonly #stream: ServerHttp2Stream;
  #complete: boolean;
  #distinct: NodeJS.Dict<string[]> | undefined;

  constructor(
    stream: ServerHttp2Stream,
    headers: Http2Headers,
    rawHeaders: readonly string[],
  ) {
    super();
    this.#stream = stream;
    this.method = headers[":method"] ?? "";
    this.url = headers[":path"] ?? "";
    this.rawHeaders = requestHeaders(headers[":authority"], rawHeaders);
    const authority = headers[":authority"];
    if (authority !== undefined) headers.host = authority;
    this.headers = headers;
    const bodiless = stream.endAfterHeaders;
    this.#complete = bodiless;
    this.openEnded = !bodiless && headers["content-length"] === undefined;
    stream.on("trailers", (_trailers, _flags, raw?: string[]) => {
      this.rawTrailers = withoutPseudoHeaders(raw ?? []);
    });
    stream.once("end", () => {
      if (stream.aborted) return;
      this.#complete = true;
      this.emit("end");
    });
    stream.once("close", () => this.emit("close"));
    stream.on("error", (error) => {
      if (this.listenerCount("error") > 0) this.emit("error", error);
    });
  }

  get headersDistinct(): NodeJS.Dict<string[]> {
    return (this.#distinct ??= distinct(this.rawHeaders));
  }

  get complete(): boolean {
    return this.#complete;
  }

  get readableEnded(): boolean {
    return this.#complete && this.#stream.readableEnded;
  }

  get destroyed(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  override on(event: string, listener: Listener): this {
    // Chunks go straight to who wants them.
    if (event === "data") this.#stream.on(event, listener);
    else super.on(event, listener);
    return this;
  }

  override off(event: string, listener: Listener): this {
    if (event === "data") this.#stream.off(event, listener);
    else super.off(event, listener);
    return this;
  }

  pause(): this {
    this.#stream.pause();
    return this;
  }

  resume(): this {
    this.#stream.resume();
    return this;
  }

  destroy(): this {
    if (!this.#stream.closed) this.#stream.close(CANCEL);
    return this;
  }
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- as EventEmitter has it
type Listener = (...args: any[]) => void;

/** What a stream is reset with that nobody wants any more. */
const CANCEL = 0x8;

/** The headers as HTTP/1.1 would have them: with a Host, and with one Cookie instead of its crumbs (RFC 9113, 8.2.3, 8.3.1). */
function requestHeaders(
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
