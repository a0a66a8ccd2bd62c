import httpProxy from "http-proxy";
import { ClientRequest, IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { Stream } from "node:stream";
import { connectFailure, exchangeFailure } from "./failure.ts";
import {
  isIdempotent,
  type Answered,
  type Connected,
  type Forwarder,
  type ForwardHead,
  type ForwardOptions,
  type ForwardTarget,
} from "./forward.ts";

/**
 * Makes requests with http-proxy, which sets them up and keeps their errors together. What it does wrong or not at all is
 * done here and by the callers: bodies wait for a connection, paths and repeated headers go out as they are, a chunked
 * DELETE keeps its framing, and answers are relayed by `relay.ts`. The day http-proxy must go, this file changes.
 */
export class HttpProxyForwarder implements Forwarder {
  readonly #proxy = httpProxy.createProxyServer({});

  connect(
    target: ForwardTarget,
    head: ForwardHead,
    { onRequest }: ForwardOptions,
  ): Promise<Connected> {
    return new Promise((resolve) => {
      const outbound = new IncomingMessage(NO_SOCKET);
      // Not the real one: http-proxy takes the framing of DELETE and OPTIONS apart.
      outbound.method = "GET";
      outbound.url = "/";
      outbound.headers = head.headers.toObject();
      if (head.framing !== undefined) {
        const [name, value] = head.framing;
        outbound.headers[name] = value;
      }
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
          agent: target.agent.node,
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
      onConnected({ ok: true, call: { request, answered } });
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
    isIdempotent(method) &&
    (code === "ECONNRESET" || code === "EPIPE")
  );
}
