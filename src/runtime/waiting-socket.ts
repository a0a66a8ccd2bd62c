import type { Socket } from "node:net";

/**
 * A connection that waits to be served. Its first bytes are taken in and put back later, because the end of a connection
 * that is not read is never seen.
 */
export class WaitingSocket {
  /** "ip:port" of its peer. */
  readonly address: string;
  /** Where it comes from, as `networkOf` has it. */
  readonly network: string;
  readonly #socket: Socket;
  readonly #on: WaitingSocketEvents;
  #head: Buffer = Buffer.alloc(0);
  #spoke = false;
  #released = false;

  constructor(
    socket: Socket,
    from: { readonly address: string; readonly network: string },
    on: WaitingSocketEvents,
  ) {
    this.#socket = socket;
    this.address = from.address;
    this.network = from.network;
    this.#on = on;
    socket.on("readable", this.#look);
    socket.on("end", this.#leave);
    socket.on("close", this.#leave);
  }

  /** Whether it has said anything. */
  get hasBegun(): boolean {
    return this.#head.length > 0;
  }

  /** Hands the connection over, with all that it said. */
  release(): Socket {
    this.#released = true;
    this.#detach();
    if (this.#head.length > 0) this.#socket.unshift(this.#head);
    return this.#socket;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  readonly #look = (): void => {
    while (this.#head.length < this.#on.maxBytes) {
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk === null) return;
      this.#head =
        this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
      if (this.#spoke || !this.#on.isEnough(this.#head)) continue;
      this.#spoke = true;
      this.#on.spoke();
      // It may have been released by that.
      if (this.#released) return;
    }
  };

  readonly #leave = (): void => {
    this.#detach();
    this.#socket.destroy();
    this.#on.left();
  };

  #detach(): void {
    this.#socket.off("readable", this.#look);
    this.#socket.off("end", this.#leave);
    this.#socket.off("close", this.#leave);
  }
}

/** What whoever keeps a connection waiting wants to know of it. */
export interface WaitingSocketEvents {
  /** What is read of it at most, or a little more. One that says more is not read on. */
  readonly maxBytes: number;
  /** Whether its first words are complete. True of anything as long as `maxBytes`. */
  readonly isEnough: (head: Buffer) => boolean;
  /** Called once when they are. */
  readonly spoke: () => void;
  /** Called when it ends before it is released. */
  readonly left: () => void;
}
