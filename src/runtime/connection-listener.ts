import { once } from "node:events";
import {
  createServer,
  type AddressInfo,
  type Server,
  type Socket,
} from "node:net";
import type { Clock, Timer } from "./clock.ts";
import { ListenError, type HostPort } from "./host-port.ts";
import type { Peer, PeerCertificate } from "./peer.ts";
import { WaitingSocket } from "./waiting-socket.ts";

/** Makes a connection secure, and says who is at the other end. */
export interface Gatekeeper {
  /** Rejects when the peer may not come in; the socket is destroyed then. It has reported why. */
  accept(
    socket: Socket,
    address: string,
  ): Promise<{
    readonly socket: Socket;
    readonly certificate: PeerCertificate;
  }>;
}

export interface ConnectionListenerOptions {
  readonly clock: Clock;
  /** Without one connections are in clear text. */
  readonly gatekeeper?: Gatekeeper | undefined;
  /** Connections at a time that are let in and not settled yet; further ones wait. Default: no limit. */
  readonly admission?: number | undefined;
  /** How long a connection may be without a stream. Default 10 s. */
  readonly idleMs?: number | undefined;
  /** Speaks the protocol on a connection that was let in. */
  readonly serve: (socket: Socket) => void;
}

const IDLE_MS = 10_000;
/** How long a handshake may take while others wait. */
const HURRY_MS = 3_000;
/** Connections that may wait to be let in; more are cut. */
const MAX_WAITING = 16_384;
/** As many as the system allows: those of a whole fleet come at once, and what does not fit is tried again a second later. */
const BACKLOG = 4_096;

/**
 * Accepts connections, lets in so many at a time, and knows each by the address of its peer. It owns the sockets, so
 * that a connection can be cut whatever its peer does.
 */
export class ConnectionListener {
  /** Where it listens, with the port that the system chose when 0 was asked for. */
  readonly address: HostPort;
  readonly #server: Server;
  readonly #options: ConnectionListenerOptions;
  readonly #connections = new Map<string, Connection>();
  /** Those that have said nothing yet, with what ends that. They hold nobody up. */
  readonly #silent = new Map<WaitingSocket, Timer>();
  /** Those that wait to be let in, the longest waiting first. */
  readonly #waiting = new Set<WaitingSocket>();
  /** How many are let in and not settled. */
  #admitted = 0;
  #closing = false;

  private constructor(
    server: Server,
    address: HostPort,
    options: ConnectionListenerOptions,
  ) {
    this.#server = server;
    this.address = address;
    this.#options = options;
    server.on("connection", (socket) => {
      this.#accept(socket);
    });
    // The system is out of something, such as file descriptors: the next connection may be luckier.
    server.on("error", ignore);
  }

  /** @throws ListenError */
  static async listen(
    listen: HostPort,
    options: ConnectionListenerOptions,
  ): Promise<ConnectionListener> {
    const server = createServer({ noDelay: true });
    try {
      server.listen({ port: listen.port, host: listen.host, backlog: BACKLOG });
      await once(server, "listening");
    } catch (error) {
      throw new ListenError(listen, error);
    }
    const { port } = server.address() as AddressInfo;
    return new ConnectionListener(server, { host: listen.host, port }, options);
  }

  /** The connection of a peer's address; undefined when it is gone. */
  find(address: string): Connection | undefined {
    return this.#connections.get(address);
  }

  /** How many connections are not let in yet. */
  get waiting(): number {
    return this.#silent.size + this.#waiting.size;
  }

  /** Accepts nothing new, and cuts what has not been let in. What is served goes on. */
  stop(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#server.close();
    for (const waiting of [...this.#silent.keys(), ...this.#waiting])
      waiting.destroy();
    for (const connection of this.#connections.values())
      if (!connection.served) connection.destroy();
  }

  /** Stops, cuts every connection and resolves when all are gone. */
  async cut(): Promise<void> {
    this.stop();
    const closed: Promise<unknown>[] = [];
    for (const connection of this.#connections.values()) {
      closed.push(connection.closed);
      connection.destroy();
    }
    await Promise.all(closed);
  }

  #accept(socket: Socket): void {
    socket.on("error", ignore);
    const { remoteAddress, remotePort } = socket;
    if (
      this.#closing ||
      remoteAddress === undefined ||
      remotePort === undefined
    ) {
      socket.destroy();
      return;
    }
    if (this.waiting >= MAX_WAITING) {
      socket.destroy();
      return;
    }
    const { clock, idleMs = IDLE_MS } = this.#options;
    const waiting = new WaitingSocket(
      socket,
      `${remoteAddress}:${remotePort}`,
      {
        // Not before: who connects and says nothing would keep others out.
        spoke: () => {
          this.#silent.get(waiting)?.cancel();
          this.#silent.delete(waiting);
          this.#waiting.add(waiting);
          this.#admitNext();
        },
        left: () => {
          this.#silent.get(waiting)?.cancel();
          this.#silent.delete(waiting);
          this.#waiting.delete(waiting);
        },
      },
    );
    this.#silent.set(
      waiting,
      clock.setTimer(idleMs, () => {
        waiting.destroy();
      }),
    );
  }

  #admit(socket: Socket, address: string): void {
    // The same port of a peer to another address of this machine: the peer's next attempt has another.
    if (this.#connections.has(address)) {
      socket.destroy();
      return;
    }
    this.#admitted++;
    const connection = new Connection(socket, address, {
      clock: this.#options.clock,
      idleMs: this.#options.idleMs ?? IDLE_MS,
      settled: () => {
        this.#admitted--;
        this.#admitNext();
      },
    });
    this.#connections.set(address, connection);
    socket.once("close", () => {
      this.#connections.delete(address);
      connection.gone();
    });
    void this.#serve(socket, connection);
  }

  #admitNext(): void {
    const { admission = Infinity } = this.#options;
    for (const waiting of this.#waiting) {
      if (this.#closing || this.#admitted >= admission) return;
      this.#waiting.delete(waiting);
      const socket = waiting.release();
      this.#admit(socket, waiting.address);
    }
  }

  async #serve(socket: Socket, connection: Connection): Promise<void> {
    const { gatekeeper, serve } = this.#options;
    let speaking = socket;
    if (gatekeeper !== undefined) {
      const hurry = this.#hurry(connection);
      try {
        const accepted = await gatekeeper.accept(socket, connection.address);
        connection.certificate = accepted.certificate;
        speaking = accepted.socket;
        speaking.on("error", ignore);
      } catch {
        // It was reported where it was found.
        socket.destroy();
        return;
      } finally {
        hurry.cancel();
      }
    }
    if (socket.destroyed || speaking.destroyed || this.#closing) {
      socket.destroy();
      return;
    }
    connection.begin(speaking);
    serve(speaking);
  }

  /** Cuts a connection whose handshake takes its time, when others wait for its place. */
  #hurry(connection: Connection): Timer {
    const { clock } = this.#options;
    const look = (): void => {
      if (this.#waiting.size > 0) connection.destroy();
      else timer = clock.setTimer(HURRY_MS, look);
    };
    let timer = clock.setTimer(HURRY_MS, look);
    return {
      cancel: () => {
        timer.cancel();
      },
    };
  }
}

/** One connection that was let in. */
export class Connection implements Peer {
  readonly address: string;
  certificate: PeerCertificate | undefined;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #options: {
    readonly clock: Clock;
    readonly idleMs: number;
    readonly settled: () => void;
  };
  #speaking: Socket | undefined;
  #settled = false;
  #streams = 0;
  #idle: Timer | undefined;

  constructor(
    socket: Socket,
    address: string,
    options: {
      readonly clock: Clock;
      readonly idleMs: number;
      readonly settled: () => void;
    },
  ) {
    this.#socket = socket;
    this.address = address;
    this.#options = options;
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        resolve();
      });
    });
  }

  /** Whether the protocol is spoken on it. */
  get served(): boolean {
    return this.#speaking !== undefined;
  }

  /** The protocol is spoken from now on. */
  begin(speaking: Socket): void {
    this.#speaking = speaking;
    this.#watch();
  }

  /** A stream was opened on it. Call the function once when its handler is done. */
  opened(): () => void {
    this.#streams++;
    this.#idle?.cancel();
    return () => {
      this.#streams--;
      // Whoever was not taken in by now never will be.
      this.settled();
      this.#watch();
    };
  }

  settled(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#options.settled();
  }

  destroy(): void {
    this.#speaking?.destroy();
    // Under TLS the one below as well: the upper one waits for its last bytes to leave, which a peer that does not read never takes.
    this.#socket.destroy();
  }

  /** The socket is closed. */
  gone(): void {
    this.#idle?.cancel();
    this.settled();
  }

  #watch(): void {
    if (this.#streams > 0 || this.#socket.destroyed) return;
    this.#idle?.cancel();
    this.#idle = this.#options.clock.setTimer(this.#options.idleMs, () => {
      this.destroy();
    });
  }
}

function ignore(): void {
  // A connection that breaks is closed as well, and that is what counts.
}
