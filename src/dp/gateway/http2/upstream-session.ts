import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Clock } from "../../../runtime/clock.ts";
import { connectFailure, type Failure } from "../proxy/failure.ts";

/** The most requests that one connection has at a time, if its upstream lets it have that many. */
const MAX_STREAMS = 100;
/** How long an upstream that is asked for a sign of life may take. */
const PING_TIMEOUT_MS = 5_000;

/** One HTTP/2 connection to an upstream, and how many requests it has. */
export class UpstreamSession {
  /** Settles once: undefined when requests can be sent, or why not. */
  readonly ready: Promise<Failure | undefined>;
  readonly #session: ClientHttp2Session;
  readonly #clock: Clock;
  readonly #onIdle: () => void;
  readonly #onEnd: () => void;
  #asking = false;
  #reserved = 0;
  #open = true;

  /**
   * @param socket That connects, if need be by TLS; owned from now on.
   * @param on.idle Called whenever the last of its requests is over.
   * @param on.end Called once, when nothing more is to be sent on it.
   */
  constructor(
    socket: Socket,
    clock: Clock,
    on: { readonly idle: () => void; readonly end: () => void },
  ) {
    this.#clock = clock;
    this.#onIdle = on.idle;
    this.#onEnd = on.end;
    const secure = socket instanceof TLSSocket;
    const session = connect(
      // Each request names its own authority.
      secure ? "https://upstream" : "http://upstream",
      {
        createConnection: () => socket,
        settings: { enablePush: false },
      },
    );
    this.#session = session;
    this.ready = new Promise((resolve) => {
      session.once("connect", () => {
        if (secure && socket.alpnProtocol !== "h2") {
          resolve(NOT_HTTP2);
          session.destroy();
        } else resolve(undefined);
      });
      session.on("error", (error) => {
        resolve(connectFailure(error));
        this.#end();
      });
      session.once("close", () => {
        resolve(connectFailure(new Error("the connection was closed")));
        this.#end();
      });
    });
    // Requests that the upstream has begun with end on this connection; no others begin.
    session.once("goaway", () => {
      this.#end();
    });
  }

  /** Whether one more request can have it, now or when it is ready. */
  get hasRoom(): boolean {
    const { remoteSettings } = this.#session;
    const allowed = this.#session.connecting
      ? MAX_STREAMS
      : (remoteSettings.maxConcurrentStreams ?? MAX_STREAMS);
    return this.#open && this.#reserved < Math.min(MAX_STREAMS, allowed);
  }

  /** Requests that have it. */
  get busy(): number {
    return this.#reserved;
  }

  /** Keeps a place for a request until that is over. */
  reserve(): void {
    this.#reserved++;
  }

  /** Gives the place back. */
  release(): void {
    if (--this.#reserved > 0) return;
    // Nobody waits for it any more: it may never come to be.
    if (this.#session.connecting) this.#session.destroy();
    else this.#onIdle();
  }

  /** Asks the upstream whether it is still there, when a request has waited for it in vain. */
  doubt(): void {
    if (this.#asking || this.#session.destroyed || this.#session.connecting)
      return;
    this.#asking = true;
    const timer = this.#clock.setTimer(PING_TIMEOUT_MS, () => {
      this.#session.destroy();
    });
    this.#session.ping(() => {
      this.#asking = false;
      timer.cancel();
    });
  }

  /**
   * Sends the head of a request.
   *
   * @param signal Takes it back (CANCEL).
   * @throws when the connection has ended meanwhile.
   */
  request(
    headers: OutgoingHttpHeaders,
    signal: AbortSignal,
  ): ClientHttp2Stream {
    return this.#session.request(headers, {
      signal,
      endStream: false,
      waitForTrailers: true,
    });
  }

  /** Takes no more requests, and closes when those that it has are over. */
  close(): void {
    this.#end();
    this.#session.close();
  }

  /** Cuts it off. */
  destroy(): void {
    this.#session.destroy();
  }

  #end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#onEnd();
  }
}

const NOT_HTTP2: Failure = {
  reason: "refused-tls",
  detail: "the upstream's TLS does not offer HTTP/2 (ALPN h2)",
  retriable: true,
};
