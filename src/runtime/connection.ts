import type { Socket } from "node:net";
import type { Entrant } from "./admission.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Peer, PeerCertificate } from "./peer.ts";

export interface ConnectionOptions {
  readonly clock: Clock;
  /** How long it may be without a stream. */
  readonly idleMs: number;
  /** Called when a stream is opened. */
  readonly claimed: () => void;
  /** Called once when its peer is taken in, or gone. */
  readonly settled: () => void;
}

/**
 * Streams that a connection may open one after the other, and then one in so many milliseconds: a peer needs one, and
 * for next to nothing it could open and take back any number, while others wait for what each of them costs.
 */
const STREAMS = 64;
const STREAM_MS = 1_000;

/** One connection that was let in. */
export class Connection implements Peer, Entrant {
  readonly address: string;
  readonly network: string;
  certificate: PeerCertificate | undefined;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #cut = new AbortController();
  #speaking: Socket | undefined;
  #settled = false;
  #streams = 0;
  /** Streams that may still be opened at `#countedMs`. */
  #left = STREAMS;
  #countedMs: number;
  #idle: Timer | undefined;

  constructor(
    socket: Socket,
    from: { readonly address: string; readonly network: string },
    options: ConnectionOptions,
  ) {
    this.#socket = socket;
    this.address = from.address;
    this.network = from.network;
    this.#options = options;
    this.#countedMs = options.clock.monotonic();
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        resolve();
      });
    });
  }

  /** Aborted when the connection is cut to make room for others. */
  get hurried(): AbortSignal {
    return this.#cut.signal;
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

  /**
   * A stream was opened on it. Call the function once when its handler is done. Undefined: it is not to be handled, since
   * the connection is gone, or is cut because there were too many.
   */
  opened(): (() => void) | undefined {
    if (this.#socket.destroyed) return undefined;
    if (!this.#mayOpen()) {
      this.destroy();
      return undefined;
    }
    this.#streams++;
    this.#options.claimed();
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

  hurry(): void {
    this.#cut.abort();
    this.destroy();
  }

  /** The socket is closed. */
  gone(): void {
    this.#idle?.cancel();
    this.settled();
  }

  #mayOpen(): boolean {
    const nowMs = this.#options.clock.monotonic();
    const gained = (nowMs - this.#countedMs) / STREAM_MS;
    this.#left = Math.min(STREAMS, this.#left + gained) - 1;
    this.#countedMs = nowMs;
    return this.#left >= 0;
  }

  #watch(): void {
    if (this.#streams > 0 || this.#socket.destroyed) return;
    this.#idle?.cancel();
    this.#idle = this.#options.clock.setTimer(this.#options.idleMs, () => {
      this.destroy();
    });
  }
}
