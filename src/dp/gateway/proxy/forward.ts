import httpProxy from "http-proxy";
import {
  ClientRequest,
  IncomingMessage,
  ServerResponse,
  type Agent,
} from "node:http";
import { Socket } from "node:net";
import { Stream, type Duplex } from "node:stream";
import type { SentRequest, UpstreamResponse } from "./messages.ts";
import { connectFailure, exchangeFailure, type Failure } from "./failure.ts";

/** Where a request goes: one address, and the connections to it. */
export interface ForwardTarget {
  readonly protocol: "http" | "https";
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly agent: Agent;
}

/** What is sent. */
export interface ForwardHead {
  readonly method: string;
  /** With query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
}

/** A request that has a connection but has sent nothing yet; or why there is none. */
export type Connected =
  | { readonly ok: true; readonly call: UpstreamCall }
  | { readonly ok: false; readonly failure: Failure };

/** What came back. */
export type Answered =
  | { readonly type: "response"; readonly response: UpstreamResponse }
  | {
      readonly type: "upgrade";
      readonly response: UpstreamResponse;
      readonly socket: Duplex;
      readonly head: Buffer;
    }
  | { readonly type: "failed"; readonly failure: Failure };

/**
 * A request under way to an upstream. Errors after the answer began show on the answer's stream; here they are only kept
 * from being uncaught.
 */
export class UpstreamCall {
  readonly request: SentRequest;
  /** Settles once, when the upstream begins to answer or fails to. */
  readonly answered: Promise<Answered>;

  constructor(request: SentRequest, answered: Promise<Answered>) {
    this.request = request;
    this.answered = answered;
  }

  /** Gives up: the connection is closed, whatever state it is in. */
  abort(reason?: Error): void {
    this.request.destroy(reason);
  }
}

const IDEMPOTENT = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "PUT",
  "DELETE",
]);

/**
 * Makes requests with http-proxy, which sets them up and keeps their errors together. What it does wrong or not at all is
 * done here and by the callers: bodies wait for a connection, paths and repeated headers go out as they are, a chunked
 * DELETE keeps its framing, and answers are relayed by `relay.ts`. The day http-proxy must go, this file changes.
 */
export class Forwarder {
  readonly #proxy = httpProxy.createProxyServer({});

  /**
   * Connects to the target.
   *
   * @param onRequest Hands out the request at once, so that it can be given up while it connects.
   */
  connect(
    target: ForwardTarget,
    head: ForwardHead,
    onRequest: (request: SentRequest) => void,
  ): Promise<Connected> {
    return new Promise((resolve) => {
      const outbound = new IncomingMessage(NO_SOCKET);
      // Not the real one: http-proxy takes the framing of DELETE and OPTIONS apart.
      outbound.method = "GET";
      outbound.url = "/";
      outbound.headers = { ...head.headers };
      const opening = new Opening((request) => {
        // http-proxy would merge slashes; nothing has been written yet.
        request.path = head.path;
        onRequest(request);
        follow(request, head.method, target.protocol === "https", resolve);
      });
      this.#proxy.web(
        outbound,
        // It answers nobody: `selfHandleResponse`.
        new ServerResponse(outbound),
        {
          target: {
            protocol: `${target.protocol}:`,
            host: target.host,
            port: target.port,
          },
          method: head.method,
          agent: target.agent,
          selfHandleResponse: true,
          buffer: opening,
        },
        () => {
          // `follow` has heard it too; without this function http-proxy would throw it.
        },
      );
    });
  }
}

/** http-proxy wants a client's message, of which it uses nothing else. */
const NO_SOCKET = new Socket();

/** http-proxy pipes the body from here into the request that it has just made: the way to get hold of that. */
class Opening extends Stream {
  readonly #take: (request: ClientRequest) => void;

  constructor(take: (request: ClientRequest) => void) {
    super();
    this.#take = take;
  }

  override pipe<T extends NodeJS.WritableStream>(destination: T): T {
    if (destination instanceof ClientRequest) this.#take(destination);
    return destination;
  }
}

/** Turns the events of a request into two promises: that it is connected, and that it is answered. */
function follow(
  request: ClientRequest,
  method: string,
  secure: boolean,
  onConnected: (connected: Connected) => void,
): void {
  let connected = false;
  const answered = new Promise<Answered>((resolve) => {
    const fail = (error: unknown): void => {
      if (!connected)
        onConnected({ ok: false, failure: connectFailure(error) });
      else
        resolve({
          type: "failed",
          failure: exchangeFailure(error, isStale(request, method, error)),
        });
    };
    request.on("error", fail);
    request.once("close", () => {
      fail(new Error("the connection was closed without an answer"));
    });
    request.once("response", (response) => {
      resolve({ type: "response", response });
    });
    request.once("upgrade", (response, socket, head) => {
      resolve({ type: "upgrade", response, socket, head });
    });
  });
  request.once("socket", (socket: Socket) => {
    const ready = (): void => {
      connected = true;
      onConnected({ ok: true, call: new UpstreamCall(request, answered) });
    };
    if (request.reusedSocket) ready();
    else if (secure) socket.once("secureConnect", ready);
    else if (socket.connecting) socket.once("connect", ready);
    else ready();
  });
}

/** Whether the upstream closed a kept connection just when it was used again: nobody has seen the request. */
function isStale(
  request: ClientRequest,
  method: string,
  error: unknown,
): boolean {
  const code =
    error instanceof Error && "code" in error ? error.code : undefined;
  return (
    request.reusedSocket &&
    IDEMPOTENT.has(method) &&
    (code === "ECONNRESET" || code === "EPIPE")
  );
}
