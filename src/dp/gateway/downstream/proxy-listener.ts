import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../../../runtime/clock.ts";
import {
  formatHostPort,
  ListenError,
  type HostPort,
} from "../../../runtime/host-port.ts";
import { sniff, type HttpVersion } from "../../../runtime/http-sniff.ts";
import { ClientConnection } from "./client-connection.ts";
import { Handshakes, type ListenerTls } from "./handshakes.ts";
import { Http1, HTTP1_OPTIONS } from "./http1.ts";
import { Http2 } from "./http2.ts";
import { LIMITS } from "./limits.ts";
import type { Arrived } from "./message.ts";
import { ignore } from "./refusal.ts";

/** What a listener does with requests. */
export interface ListenerOptions {
  readonly clock: Clock;
  /** The number of a connection, of this process, from 1. */
  readonly nextSerial: () => number;
  /** Serves one request; must not throw. */
  readonly onRequest: (arrived: Arrived) => void;
  /** Hears of what could not be read as a request, with the status that it was answered with. */
  readonly onRefused: (status: number) => void;
}

/**
 * A port that clients come to: HTTP/1.1 and HTTP/2, in clear text (told apart by the first bytes) or over TLS (as agreed
 * on in the handshake).
 */
export class ProxyListener {
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #http1: Http1;
  readonly #http2: Http2;
  /** All connections, also those that have not come so far as to speak HTTP. */
  readonly #sockets = new Set<Socket>();
  /** Of these, those that have not, by the client's address: a TLS socket does not tell which one it secures. */
  readonly #fresh = new Map<string, Socket>();
  readonly #nextSerial: () => number;
  #closing = false;

  private constructor(
    server: Server,
    http1: Http1,
    { clock, onRequest, nextSerial }: ListenerOptions,
  ) {
    this.#server = server;
    this.#clock = clock;
    this.#http1 = http1;
    this.#http2 = new Http2({ clock, onRequest });
    this.#nextSerial = nextSerial;
    server.on("connection", (socket: Socket) => {
      this.#track(socket);
    });
  }

  /**
   * Listens.
   *
   * @param tls Absent: in clear text.
   * @throws ListenError when nothing can listen there.
   */
  static async listen(
    listen: HostPort,
    tls: ListenerTls | undefined,
    options: ListenerOptions,
  ): Promise<ProxyListener> {
    const { clock } = options;
    const server = createServer(HTTP1_OPTIONS);
    const proxy = new ProxyListener(
      server,
      new Http1(server, options),
      options,
    );
    if (tls === undefined)
      server.on("connection", (socket: Socket) => {
        sniff(socket, { clock, timeoutMs: LIMITS.headersMs }, (version) => {
          proxy.#begin(socket, version);
        });
      });
    else {
      const handshakes = new Handshakes(tls, clock, (socket) => {
        proxy.#begin(
          socket,
          socket.alpnProtocol === "h2" ? "http/2" : "http/1.1",
        );
      });
      server.on("connection", (socket: Socket) => {
        handshakes.begin(socket);
      });
    }
    return proxy.#listen(listen);
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
    for (const socket of this.#fresh.values()) socket.destroy();
    this.#http1.drain();
    this.#http2.drain();
    const deadline = this.#clock.setTimer(graceMs, () => {
      for (const socket of this.#sockets) socket.destroy();
    });
    await closed;
    deadline.cancel();
  }

  async #listen(listen: HostPort): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (error) => {
        reject(new ListenError(listen, error));
      });
      this.#server.listen(
        { host: listen.host, port: listen.port, backlog: BACKLOG },
        resolve,
      );
    });
    // The system is out of something, such as file descriptors: the next connection may be luckier.
    this.#server.on("error", ignore);
    return this;
  }

  #track(socket: Socket): void {
    const from = addressOf(socket);
    this.#sockets.add(socket);
    this.#fresh.set(from, socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      if (this.#fresh.get(from) === socket) this.#fresh.delete(from);
    });
  }

  #begin(socket: Socket, version: HttpVersion): void {
    this.#fresh.delete(addressOf(socket));
    if (this.#closing) {
      socket.destroy();
      return;
    }
    const connection = new ClientConnection(socket, this.#nextSerial());
    if (version === "http/2") this.#http2.serve(connection);
    else this.#http1.serve(connection);
  }
}

/** As many as the system allows: a burst of clients does not wait for the event loop. */
const BACKLOG = 16_384;

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ""}:${remotePort ?? 0}`;
}
