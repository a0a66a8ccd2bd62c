import {
  constants,
  performServerHandshake,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Clock } from "../../../runtime/clock.ts";
import type { ClientConnection } from "./client-connection.ts";
import { FloodGuard } from "./flood-guard.ts";
import { Http2Request } from "./http2-request.ts";
import { Http2Response } from "./http2-response.ts";
import { LIMITS } from "./limits.ts";
import type { Arrived } from "./message.ts";
import { ignore } from "./refusal.ts";
import { SessionWatch } from "./session-watch.ts";

const OPTIONS = {
  settings: {
    enablePush: false,
    maxConcurrentStreams: LIMITS.streams,
    maxHeaderListSize: LIMITS.headerBytes,
  },
  // Streams over the limit are refused one by one; who goes on all the same is cut off.
  maxSessionRejectedStreams: LIMITS.streams,
} as const;

/** Takes the requests of HTTP/2 connections. */
export class Http2 {
  readonly #clock: Clock;
  readonly #onRequest: (arrived: Arrived) => void;
  readonly #sessions = new Set<ServerHttp2Session>();
  #closing = false;

  constructor(options: {
    readonly clock: Clock;
    readonly onRequest: (arrived: Arrived) => void;
  }) {
    this.#clock = options.clock;
    this.#onRequest = options.onRequest;
  }

  /** Reads requests from a connection, whose first bytes are those of HTTP/2. */
  serve(connection: ClientConnection): void {
    const session = performServerHandshake(connection.socket, OPTIONS);
    this.#sessions.add(session);
    const flood = new FloodGuard(this.#clock, () => {
      session.destroy(
        new Error("the client asks for too much"),
        constants.NGHTTP2_ENHANCE_YOUR_CALM,
      );
    });
    const watch = new SessionWatch(session, this.#clock);
    session.on("stream", (stream, headers, _flags, rawHeaders?: string[]) => {
      watch.opened();
      stream.once("close", () => {
        watch.closed();
        if (stream.rstCode !== 0 && stream.aborted) flood.reset();
      });
      this.#arrive(connection, { stream, headers, raw: rawHeaders ?? [] });
    });
    session.on("remoteSettings", () => {
      flood.control();
    });
    session.on("ping", () => {
      flood.control();
    });
    // A client's mistake ends its connection and nothing else.
    session.on("error", ignore);
    session.once("close", () => {
      watch.stop();
      this.#sessions.delete(session);
    });
    if (this.#closing) session.close();
  }

  /** Tells every client to send no more (GOAWAY), and ends each connection when its requests are done. */
  drain(): void {
    this.#closing = true;
    for (const session of this.#sessions) session.close();
  }

  #arrive(
    connection: ClientConnection,
    {
      stream,
      headers,
      raw,
    }: {
      readonly stream: ServerHttp2Stream;
      readonly headers: IncomingHttpHeaders;
      readonly raw: readonly string[];
    },
  ): void {
    stream.on("error", ignore);
    // Reset by what came in the same packet: there is nobody to answer.
    if (stream.closed || stream.destroyed) return;
    if (headers[":method"] === "CONNECT") {
      stream.respond({ ":status": 405 }, { endStream: true });
      return;
    }
    const expects = headers.expect?.toLowerCase();
    const request = new Http2Request(stream, headers, raw);
    const response = new Http2Response(stream, request.method === "HEAD");
    // Who has the whole answer needs not go on with the request.
    stream.once("finish", () => {
      if (!request.complete && !stream.closed)
        stream.close(constants.NGHTTP2_NO_ERROR);
    });
    this.#onRequest({
      request,
      response,
      upgrade: undefined,
      connection: connection.next(),
      awaitsContinue: expects === "100-continue",
    });
  }
}
