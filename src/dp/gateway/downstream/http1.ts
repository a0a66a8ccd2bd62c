import {
  ServerResponse,
  type IncomingMessage,
  type Server,
  type ServerOptions,
} from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../../../runtime/clock.ts";
import { hasHeader, tokensOf, valuesOf } from "../proxy/hop-by-hop.ts";
import { ClientConnection } from "./client-connection.ts";
import { LIMITS } from "./limits.ts";
import type { Arrived } from "./message.ts";
import { asOrdinaryRequest } from "./plain-request.ts";
import { ignore, refuse, type Refusal } from "./refusal.ts";

/** An answer that can put a small body into the same piece as its head: node does that with text only. */
class Http1Response<
  Request extends IncomingMessage = IncomingMessage,
> extends ServerResponse<Request> {
  endSmall(body: Buffer): void {
    this.end(body.toString("latin1"), "latin1");
  }
}

/** How node's server of HTTP/1.1, clear or secure, is to be made. */
export const HTTP1_OPTIONS = {
  insecureHTTPParser: false,
  // Missing it is answered like any other mistake, when the request's target is read.
  requireHostHeader: false,
  maxHeaderSize: LIMITS.headerBytes,
  headersTimeout: LIMITS.headersMs,
  keepAliveTimeout: LIMITS.idleMs,
  // A body may take long as long as it moves: the exchange watches that.
  requestTimeout: 0,
  ServerResponse: Http1Response,
} as const satisfies ServerOptions;

/** A connection that speaks HTTP/1.1. */
interface Http1Connection {
  readonly connection: ClientConnection;
  /** Answers under way. Not a set, for the reason that the watcher of exchanges has none. */
  readonly open: ServerResponse[];
  /** Requests that were sent behind one whose answer is under way. */
  readonly waiting: Arrived[];
  /** Tells what is wrong with what came behind all of them; undefined while nothing is. */
  refuse: (() => void) | undefined;
}

/** So many requests may wait behind one before no more are read. What was read with them waits too. */
const MAX_WAITING = 8;

/** Takes the requests of HTTP/1.1 connections from one of node's servers. */
export class Http1 {
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #onRequest: (arrived: Arrived) => void;
  readonly #onRefused: (status: number) => void;
  readonly #connections = new Map<Socket, Http1Connection>();
  /** What node's server itself does with a connection. */
  readonly #begin: (socket: Socket) => void;
  #closing = false;

  /**
   * @param server Made with {@link HTTP1_OPTIONS}, and the one that listens: node enforces its timeouts nowhere else.
   * From now on it begins to read requests of a connection when `serve` is called.
   */
  constructor(
    server: Server,
    options: {
      readonly clock: Clock;
      readonly onRequest: (arrived: Arrived) => void;
      readonly onRefused: (status: number) => void;
    },
  ) {
    this.#server = server;
    this.#clock = options.clock;
    this.#onRequest = options.onRequest;
    this.#onRefused = options.onRefused;
    const begin = server.listeners("connection").at(-1);
    if (begin === undefined)
      throw new TypeError("an HTTP server without a connection listener");
    server.removeListener("connection", begin as (socket: Socket) => void);
    // All of them, else node keeps the last ones to itself, and one of these may say how long the body is.
    server.maxHeadersCount = 0;
    this.#begin = (socket) => {
      Reflect.apply(begin, server, [socket]);
    };
    this.#listenForEvents();
  }

  /** Reads requests from a connection. */
  serve(connection: ClientConnection): void {
    const { socket } = connection;
    this.#connections.set(socket, {
      connection,
      open: [],
      waiting: [],
      refuse: undefined,
    });
    socket.once("close", () => this.#connections.delete(socket));
    this.#begin(socket);
  }

  /** Ends each connection as soon as it has no request under way. The server accepts no more when this is called. */
  drain(): void {
    this.#closing = true;
    for (const [socket, { open }] of this.#connections) {
      // Connected, but nothing has come: node does not count that as idle.
      if (socket.bytesRead === 0) socket.destroy();
      for (const response of open) response.shouldKeepAlive = false;
    }
    this.#server.closeIdleConnections();
  }

  #listenForEvents(): void {
    const server = this.#server;
    server.on("request", (request, response) => {
      this.#arrive(request, response, { awaitsContinue: false });
    });
    server.on("checkContinue", (request, response) => {
      this.#arrive(request, response, { awaitsContinue: true });
    });
    // What else a client may expect is told where it is refused.
    server.on("checkExpectation", (request, response) => {
      this.#arrive(request, response, { awaitsContinue: false });
    });
    server.on("upgrade", (request, socket, head) => {
      this.#upgrade(request, socket, head);
    });
    server.on("connect", (request, socket) => {
      if (this.#isAnswering(request.socket)) {
        socket.on("error", ignore).destroy();
        return;
      }
      this.#refuse(socket, { status: 405, message: "Method not allowed" });
    });
    server.on("clientError", (error, socket) => {
      this.#clientError(error, socket);
    });
  }

  #arrive(
    request: IncomingMessage,
    response: ServerResponse,
    how: Pick<Arrived, "awaitsContinue"> & Partial<Arrived>,
  ): void {
    const known = this.#connections.get(request.socket);
    // Gone already: there is nobody to answer.
    if (known === undefined) return;
    const { connection, open, waiting } = known;
    open.push(response);
    if (this.#closing) response.shouldKeepAlive = false;
    response.once("close", () => {
      remove(open, response);
      this.#goOn(request.socket, known);
      if (this.#closing) this.#server.closeIdleConnections();
    });
    // A request that breaks off is an error of its stream; the response's "close" says all there is to know.
    request.on("error", ignore);
    response.on("error", ignore);
    const arrived: Arrived = {
      request,
      response,
      upgrade: how.upgrade,
      connection: connection.next(),
      awaitsContinue: how.awaitsContinue,
    };
    // One after the other: together they would be as many as one packet can hold, and come upstream in any order.
    if (open.length === 1) {
      this.#onRequest(arrived);
      return;
    }
    waiting.push(arrived);
    if (waiting.length >= MAX_WAITING) request.socket.pause();
  }

  /** An answer is over: the next request of the connection begins, if it goes on. */
  #goOn(socket: Socket, { waiting, open, refuse }: Http1Connection): void {
    const next = waiting.shift();
    if (next === undefined) {
      if (open.length === 0) refuse?.();
      return;
    }
    if (socket.writableEnded || socket.destroyed) waiting.length = 0;
    else this.#onRequest(next);
    if (waiting.length < MAX_WAITING && refuse === undefined) socket.resume();
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // node has let go of the connection: nobody else hears its errors.
    socket.on("error", ignore);
    if (this.#isAnswering(request.socket)) {
      socket.destroy();
      return;
    }
    const { rawHeaders } = request;
    const wanted = tokensOf(rawHeaders, "upgrade");
    // With a body too: node hands the connection over without having read it.
    if (
      request.method !== "GET" ||
      !wanted.includes("websocket") ||
      hasBody(rawHeaders)
    ) {
      socket.off("error", ignore);
      socket.unshift(Buffer.concat([asOrdinaryRequest(request), head]));
      this.#begin(request.socket);
      return;
    }
    if (head.length > 0) socket.unshift(head);
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(request.socket);
    const onDrain = (): void => {
      response.emit("drain");
    };
    socket.on("drain", onDrain);
    response.once("finish", () => {
      response.detachSocket(request.socket);
      response.emit("close");
      socket.end();
    });
    response.once("close", () => {
      socket.off("drain", onDrain);
    });
    this.#arrive(request, response, {
      awaitsContinue: false,
      upgrade: {
        take: () => {
          if (response.socket !== null) response.detachSocket(response.socket);
          // A long-lived connection keeps nothing of the request alive.
          remove(this.#connections.get(request.socket)?.open ?? [], response);
          return socket;
        },
      },
    });
  }

  /** Whether an answer is under way: a request sent behind one cannot have the connection to itself. */
  #isAnswering(socket: Socket): boolean {
    return (this.#connections.get(socket)?.open.length ?? 0) > 0;
  }

  #clientError(error: Error, socket: Duplex): void {
    const code = "code" in error ? error.code : "";
    const known =
      socket instanceof Socket ? this.#connections.get(socket) : undefined;
    if (!socket.writable || code === "ECONNRESET") {
      socket.destroy();
      return;
    }
    const read = "rawPacket" in error ? error.rawPacket : undefined;
    const tell = (): void => {
      this.#refuse(
        socket,
        answerTo(code),
        Buffer.isBuffer(read) ? read : undefined,
      );
    };
    const last = known?.open.at(-1);
    if (known === undefined || last === undefined) tell();
    else if (last.req.complete) {
      // It came behind whole requests: told now, it would pass for the answer to the first of them.
      socket.pause();
      known.refuse ??= () => {
        if (socket.writable) tell();
      };
    }
    // An answer that has begun cannot be followed by another one.
    else if (known.open.some((response) => response.headersSent))
      socket.destroy();
    else tell();
  }

  #refuse(socket: Duplex, refusal: Refusal, read?: Buffer): void {
    this.#onRefused(refusal.status);
    refuse(socket, refusal, this.#clock, read);
  }
}

/** There are as many as a client sends without waiting for answers: mostly one. */
function remove(open: ServerResponse[], response: ServerResponse): void {
  const at = open.indexOf(response);
  if (at >= 0) open.splice(at, 1);
}

/** What a client is told that node could not understand. */
function answerTo(code: unknown): Refusal {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return { status: 400, message: "Request header or cookie too large" };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { status: 408, message: "Request timeout" };
    default:
      return { status: 400, message: "Bad request" };
  }
}

/** Whether a request says that a body follows. */
function hasBody(rawHeaders: readonly string[]): boolean {
  return (
    hasHeader(rawHeaders, "transfer-encoding") ||
    valuesOf(rawHeaders, "content-length").some((length) => length !== "0")
  );
}
