import { once } from "node:events";
import {
  createServer,
  type AddressInfo,
  type Server,
  type Socket,
} from "node:net";
import { Admission } from "./admission.ts";
import { ByNetwork, networkOf } from "./by-network.ts";
import type { Clock, Timer } from "./clock.ts";
import { Connection } from "./connection.ts";
import { FIRST_WORDS_BYTES, hasGreeting, hasPreface } from "./first-words.ts";
import { ListenError, type HostPort } from "./host-port.ts";
import type { PeerCertificate } from "./peer.ts";
import { WaitingSocket } from "./waiting-socket.ts";

/** Makes a connection secure, and says who is at the other end. */
export interface Gatekeeper {
  /**
   * Rejects when the peer may not come in; the socket is destroyed then. It has reported why. `hurried` is aborted when
   * the socket is destroyed because it takes long and others wait.
   */
  accept(
    socket: Socket,
    address: string,
    hurried: AbortSignal,
  ): Promise<{
    readonly socket: Socket;
    readonly certificate: PeerCertificate;
  }>;
  /** Hears of a peer that was cut off before it had said enough to be asked in. */
  gaveUp(address: string, why: GivenUp): void;
}

/** Why a peer was cut off: it has taken all the time there is, or so many others wait. */
export type GivenUp = "timeout" | "hurried";

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
/** Connections that may be silent; those that have been the longest make room for more. */
const MAX_SILENT = 4_096;
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
  /** Those that have not said their first words yet. They hold nobody up. */
  readonly #silent = new ByNetwork<WaitingSocket>();
  /** What ends that. */
  readonly #timers = new Map<WaitingSocket, Timer>();
  /** Those that wait to be let in. */
  readonly #waiting = new ByNetwork<WaitingSocket>();
  /** Who is let in and not settled. */
  readonly #admission: Admission;
  #closing = false;

  private constructor(
    server: Server,
    address: HostPort,
    options: ConnectionListenerOptions,
  ) {
    this.#server = server;
    this.address = address;
    this.#options = options;
    this.#admission = new Admission({
      clock: options.clock,
      places: options.admission ?? Infinity,
      othersWait: () => this.#waiting.size > 0,
      admitOne: () => this.#admitOne(),
    });
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
    this.#admission.stop();
    for (const waiting of [...this.#silent, ...this.#waiting])
      waiting.destroy();
    for (const connection of this.#connections.values())
      if (!connection.served) connection.destroy();
  }

  /** Resolves when no connection is left, or after so many milliseconds. */
  async emptied(withinMs: number): Promise<void> {
    const closed = [...this.#connections.values()].map((each) => each.closed);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, withinMs);
    });
    await Promise.race([Promise.all(closed), late]);
    clearTimeout(timer);
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
    if (this.#silent.size >= MAX_SILENT) this.#cutSilent();
    const from = {
      address: `${remoteAddress}:${remotePort}`,
      network: networkOf(remoteAddress),
    };
    const { clock, gatekeeper, idleMs = IDLE_MS } = this.#options;
    const waiting = new WaitingSocket(socket, from, {
      maxBytes: FIRST_WORDS_BYTES,
      isEnough: gatekeeper === undefined ? hasPreface : hasGreeting,
      // Not before it can be answered: who connects and says no more would keep others out.
      spoke: () => {
        this.#notSilent(waiting);
        if (!this.#makeRoom(waiting)) return;
        this.#waiting.add(waiting);
        this.#admission.advance();
      },
      left: () => {
        this.#notSilent(waiting);
        this.#waiting.delete(waiting);
      },
    });
    this.#silent.add(waiting);
    this.#timers.set(
      waiting,
      clock.setTimer(idleMs, () => {
        if (waiting.hasBegun) gatekeeper?.gaveUp(from.address, "timeout");
        waiting.destroy();
      }),
    );
  }

  #notSilent(waiting: WaitingSocket): void {
    this.#timers.get(waiting)?.cancel();
    this.#timers.delete(waiting);
    this.#silent.delete(waiting);
  }

  /** Cuts who has been silent the longest, of those where most come from. */
  #cutSilent(): void {
    const [oldest] = this.#silent.crowd();
    if (oldest === undefined) return;
    this.#options.gatekeeper?.gaveUp(oldest.address, "hurried");
    this.#notSilent(oldest);
    oldest.destroy();
  }

  /** Makes room for one more that waits, at the cost of the last one of where most come from. False when that is this one. */
  #makeRoom(waiting: WaitingSocket): boolean {
    if (this.#waiting.size < MAX_WAITING) return true;
    const last = [...this.#waiting.crowd()].at(-1);
    const cut =
      last === undefined || last.network === waiting.network ? waiting : last;
    this.#options.gatekeeper?.gaveUp(cut.address, "hurried");
    this.#waiting.delete(cut);
    cut.destroy();
    return cut !== waiting;
  }

  #admitOne(): boolean {
    const waiting = this.#closing ? undefined : this.#waiting.take();
    if (waiting === undefined) return false;
    this.#admit(waiting.release(), waiting);
    return true;
  }

  #admit(
    socket: Socket,
    from: { readonly address: string; readonly network: string },
  ): void {
    const { address } = from;
    // The same port of a peer to another address of this machine: the peer's next attempt has another.
    if (this.#connections.has(address)) {
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, from, {
      clock: this.#options.clock,
      idleMs: this.#options.idleMs ?? IDLE_MS,
      claimed: () => {
        this.#admission.claim(connection);
      },
      settled: () => {
        this.#admission.leave(connection);
      },
    });
    this.#admission.enter(connection);
    this.#connections.set(address, connection);
    socket.once("close", () => {
      this.#connections.delete(address);
      connection.gone();
    });
    void this.#serve(socket, connection);
  }

  async #serve(socket: Socket, connection: Connection): Promise<void> {
    const { gatekeeper, serve } = this.#options;
    let speaking = socket;
    if (gatekeeper !== undefined)
      try {
        const accepted = await gatekeeper.accept(
          socket,
          connection.address,
          connection.hurried,
        );
        connection.certificate = accepted.certificate;
        speaking = accepted.socket;
        speaking.on("error", ignore);
        await this.#admission.proven(connection);
      } catch {
        // It was reported where it was found.
        socket.destroy();
        return;
      }
    if (socket.destroyed || speaking.destroyed || this.#closing) {
      socket.destroy();
      return;
    }
    connection.begin(speaking);
    serve(speaking);
  }
}

function ignore(): void {
  // A connection that breaks is closed as well, and that is what counts.
}
