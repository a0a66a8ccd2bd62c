import { EventEmitter } from "node:events";
import {
  constants,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { exchangeFailure, TimedOut, type Failure } from "../proxy/failure.ts";
import type {
  Answered,
  Connected,
  Forwarder,
  ForwardHead,
  ForwardOptions,
  ForwardTarget,
} from "../proxy/forward.ts";
import type { SentRequest, UpstreamResponse } from "../proxy/messages.ts";
import { serverNameOf } from "../proxy/server-name.ts";
import { Http2Message } from "./http2-message.ts";
import { toHttp2Headers, withoutPseudoHeaders } from "./raw-headers.ts";
import type { UpstreamSession } from "./upstream-session.ts";

/** Makes requests by HTTP/2, for services of gRPC: many at a time share a connection. */
export class Http2Forwarder implements Forwarder {
  async connect(
    target: ForwardTarget,
    head: ForwardHead,
    { onRequest }: ForwardOptions,
  ): Promise<Connected> {
    const headers = headersOf(target, head);
    const secure = target.protocol === "grpcs";
    const { agent, host, port } = target;
    const serverName = secure ? serverNameOf(head, target) : "";
    const session = agent.http2.reserve(`${host} ${port} ${serverName}`, () =>
      agent.connect(host, port, serverName, "h2"),
    );
    const request = new Http2Call(session);
    onRequest(request);
    const failure = (await session.ready) ?? request.begin(headers);
    if (failure === undefined)
      return { ok: true, call: { request, answered: request.answered } };
    request.destroy();
    return { ok: false, failure };
  }
}

/** A request on its way, from before its connection is ready. */
class Http2Call extends EventEmitter implements SentRequest {
  readonly answered: Promise<Answered>;
  readonly #session: UpstreamSession;
  #answer: (answered: Answered) => void = () => undefined;
  #stream: ClientHttp2Stream | undefined;
  #trailers: OutgoingHttpHeaders = {};
  readonly #abort = new AbortController();
  #givenUp: Error | undefined;
  #over = false;

  constructor(session: UpstreamSession) {
    super();
    this.#session = session;
    this.answered = new Promise((resolve) => {
      this.#answer = resolve;
    });
  }

  get writableFinished(): boolean {
    return this.#stream?.writableFinished ?? false;
  }

  /** Sends the head; or says why that does not go. */
  begin(headers: OutgoingHttpHeaders): Failure | undefined {
    if (this.#givenUp !== undefined)
      return exchangeFailure(this.#givenUp, true);
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request(headers, this.#abort.signal);
    } catch (error) {
      // The connection ended between being ready and now: nothing was sent.
      return { ...exchangeFailure(error, true), reason: "unreachable" };
    }
    this.#stream = stream;
    this.#follow(stream);
    return undefined;
  }

  write(chunk: Buffer): boolean {
    const stream = this.#stream;
    if (stream === undefined || !isWritable(stream)) return true;
    return stream.write(chunk);
  }

  addTrailers(pairs: readonly [name: string, value: string][]): void {
    this.#trailers = toHttp2Headers(pairs.flat());
  }

  end(body?: Buffer): void {
    const stream = this.#stream;
    if (stream === undefined || !isWritable(stream)) return;
    if (body === undefined) stream.end();
    else stream.end(body);
  }

  destroy(reason?: Error): void {
    this.#givenUp ??= reason ?? new Error("the request was given up");
    const stream = this.#stream;
    if (reason instanceof TimedOut) this.#session.doubt();
    if (stream === undefined) this.#release();
    // Not the stream's `close`: that would first end the request as if it were whole.
    else this.#abort.abort();
  }

  #follow(stream: ClientHttp2Stream): void {
    let error: Error | undefined;
    stream.on("error", (what) => {
      error ??= what;
    });
    stream.on("drain", () => this.emit("drain"));
    stream.once("finish", () => this.emit("finish"));
    stream.once("wantTrailers", () => {
      if (!stream.destroyed && !stream.closed)
        stream.sendTrailers(this.#trailers);
    });
    stream.once("response", (headers, flags, rawHeaders?: string[]) => {
      const ended = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      const response = new Http2Answer(
        stream,
        headers,
        rawHeaders ?? [],
        ended,
      );
      this.#answer({ type: "response", response });
    });
    stream.once("close", () => {
      this.#release();
      const refused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
      const why =
        this.#givenUp ??
        error ??
        new Error(`the upstream reset the stream with code ${stream.rstCode}`);
      // Refused: the upstream says that it has not looked at it.
      this.#answer({ type: "failed", failure: exchangeFailure(why, refused) });
    });
  }

  #release(): void {
    if (this.#over) return;
    this.#over = true;
    this.#session.release();
  }
}

/** An upstream's answer that came by HTTP/2. */
class Http2Answer extends Http2Message implements UpstreamResponse {
  readonly statusCode: number | undefined;
  readonly statusMessage = "";

  constructor(
    stream: ClientHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
    ended: boolean,
  ) {
    super(
      stream,
      { headers, rawHeaders: withoutPseudoHeaders(rawHeaders) },
      ended,
    );
    const status: unknown = headers[":status"];
    this.statusCode = typeof status === "number" ? status : undefined;
  }
}

function isWritable(stream: ClientHttp2Stream): boolean {
  return !stream.destroyed && !stream.closed && !stream.writableEnded;
}

function headersOf(
  { protocol }: ForwardTarget,
  { method, path, headers, framing }: ForwardHead,
): OutgoingHttpHeaders {
  const raw = headers.toRaw();
  if (framing !== undefined) raw.push(...framing);
  const { host, ...rest } = toHttp2Headers(raw);
  return {
    ":method": method,
    ":scheme": protocol === "grpcs" ? "https" : "http",
    ...(host === undefined ? {} : { ":authority": host }),
    ":path": path,
    ...rest,
  };
}
