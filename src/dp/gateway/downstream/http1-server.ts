import {
  createServer,
  ServerResponse,
  type IncomingMessage,
  type Server,
} from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../../../runtime/clock.ts";
import {
  formatHostPort,
  ListenError,
  type HostPort,
} from "../../../runtime/host-port.ts";
import { tokensOf } from "../proxy/hop-by-hop.ts";
import { asOrdinaryRequest } from "./plain-request.ts";
import type { Arrived } from "./message.ts";

/** How a server is made. */
export interface ServerOptions {
  readonly listen: HostPort;
  readonly clock: Clock;
  /** Serves one request; must not throw. */
  readonly onRequest: (arrived: Arrived) => void;
}

/** The most bytes that a request's line and headers may have. */
const MAX_HEADER_BYTES = 32 * 1024;
/** How long the headers of a request may take to arrive. */
const HEADERS_TIMEOUT_MS = 60_000;
/** How long a connection is kept for a next request. */
const KEEP_ALIVE_MS = 75_000;
/** How long a client that sent something unreadable has to read why. */
const LINGER_MS = 1_000;

/** One client's connection. */
interface Connection {
  readonly serial: number;
  requests: number;
  readonly open: Set<ServerResponse>;
}

/** The port that clients come to: HTTP/1.1 in clear text. */
export class ProxyServer {
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #onRequest: (arrived: Arrived) => void;
  readonly #connections = new Map<Socket, Connection>();
  #serial = 0;
  #closing = false;

  private constructor({ clock, onRequest }: ServerOptions) {
    this.#clock = clock;
    this.#onRequest = onRequest;
    this.#server = createServer({
      insecureHTTPParser: false,
      // Missing it is answered like any other mistake, by `readTarget`.
      requireHostHeader: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      // A body may take long as long as it moves: the exchange watches that.
      requestTimeout: 0,
    });
    this.#listenForEvents();
  }

  /** @throws ListenError when nothing can listen there. */
  static async listen(options: ServerOptions): Promise<ProxyServer> {
    const proxy = new ProxyServer(options);
    const { host, port } = options.listen;
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", (error) => {
        reject(new ListenError(options.listen, error));
      });
      proxy.#server.listen(port, host, resolve);
    });
    return proxy;
  }

  /** "host:port" */
  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string")
      throw new TypeError("the server has no address");
    return formatHostPort({ host: address.address, port: address.port });
  }

  /** Stops accepting, lets what is under way end for `graceMs`, then cuts it off. */
  async close(graceMs: number): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    for (const [socket, { open }] of this.#connections) {
      // Connected, but nothing has come: node does not count that as idle.
      if (socket.bytesRead === 0) socket.destroy();
      for (const response of open) response.shouldKeepAlive = false;
    }
    this.#server.closeIdleConnections();
    const deadline = this.#clock.setTimer(graceMs, () => {
      for (const socket of this.#connections.keys()) socket.destroy();
    });
    await closed;
    deadline.cancel();
  }

  #listenForEvents(): void {
    const server = this.#server;
    server.on("connection", (socket) => {
      this.#track(socket);
    });
    server.on("request", (request, response) => {
      this.#arrive(request, response, { awaitsContinue: false });
    });
    server.on("checkContinue", (request, response) => {
      this.#arrive(request, response, { awaitsContinue: true });
    });
    server.on("upgrade", (request, socket, head) => {
      this.#upgrade(request, socket, head);
    });
    server.on("connect", (_request, socket) => {
      this.#refuse(socket, "405 Method Not Allowed", "Method not allowed");
    });
    server.on("clientError", (error, socket) => {
      this.#clientError(error, socket);
    });
  }

  #track(socket: Socket): void {
    // A connection whose upgrade was not wanted comes a second time.
    if (this.#connections.has(socket)) return;
    this.#connections.set(socket, {
      serial: ++this.#serial,
      requests: 0,
      open: new Set(),
    });
    socket.once("close", () => this.#connections.delete(socket));
  }

  #arrive(
    request: IncomingMessage,
    response: ServerResponse,
    how: {
      readonly awaitsContinue: boolean;
      readonly upgrade?: Arrived["upgrade"];
    },
  ): void {
    const { socket } = request;
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.requests++;
    connection?.open.add(response);
    if (this.#closing) response.shouldKeepAlive = false;
    response.once("close", () => {
      connection?.open.delete(response);
      if (this.#closing) this.#server.closeIdleConnections();
    });
    // A request that breaks off is an error of its stream; the response's "close" says all there is to know.
    request.on("error", ignore);
    response.on("error", ignore);
    this.#onRequest({
      request,
      response,
      upgrade: how.upgrade,
      connection: {
        scheme: "http",
        serverName: "",
        remoteAddress: plainAddress(socket.remoteAddress),
        localAddress: plainAddress(socket.localAddress),
        localPort: socket.localPort ?? 0,
        serial: connection?.serial ?? 0,
        requests: connection?.requests ?? 0,
      },
      awaitsContinue: how.awaitsContinue,
    });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // node has let go of the connection: nobody else hears its errors.
    socket.on("error", ignore);
    const wanted = tokensOf(request.rawHeaders, "upgrade");
    if (request.method !== "GET" || !wanted.includes("websocket")) {
      socket.off("error", ignore);
      socket.unshift(Buffer.concat([asOrdinaryRequest(request), head]));
      this.#server.emit("connection", socket);
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
          return socket;
        },
      },
    });
  }

  #clientError(error: Error, socket: Duplex): void {
    const code = "code" in error ? error.code : "";
    const connection =
      socket instanceof Socket ? this.#connections.get(socket) : undefined;
    const answering = [...(connection?.open ?? [])].some(
      (response) => response.headersSent,
    );
    // An answer that has begun cannot be followed by another one.
    if (!socket.writable || code === "ECONNRESET" || answering)
      socket.destroy();
    else if (code === "HPE_HEADER_OVERFLOW")
      this.#refuse(
        socket,
        "431 Request Header Fields Too Large",
        "Request header or URI is too large",
      );
    else if (code === "ERR_HTTP_REQUEST_TIMEOUT")
      this.#refuse(socket, "408 Request Timeout", "Request timeout");
    else this.#refuse(socket, "400 Bad Request", "Bad request");
  }

  /** Answers what could not be read as a request, and closes. */
  #refuse(socket: Duplex, status: string, message: string): void {
    socket.on("error", ignore);
    const body = JSON.stringify({ message });
    socket.end(
      `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
    // Closing with unread bytes would take the answer back: they are read and dropped.
    socket.resume();
    const timer = this.#clock.setTimer(LINGER_MS, () => {
      socket.destroy();
    });
    socket.once("close", () => {
      timer.cancel();
    });
  }
}

function ignore(): void {
  // See where it is used.
}

/** An IPv4 address as such, also where it came to an IPv6 socket. */
function plainAddress(address = ""): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}
