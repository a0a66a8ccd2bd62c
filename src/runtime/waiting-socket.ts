import type { Socket } from "node:net";

/** What is read of a connection that waits: enough for its first words. One that says more is not read on. */
const HEAD_BYTES = 4_096;

/**
 * A connection that waits to be served. Its first bytes are taken in and put back later, because the end of a connection
 * that is not read is never seen.
 */
export class WaitingSocket {
  readonly address: string;
  readonly #socket: Socket;
  readonly #on: { readonly spoke: () => void; readonly left: () => void };
  readonly #head: Buffer[] = [];
  #bytes = 0;
  #released = false;

  /** `spoke` is called when its first bytes come, `left` when it ends before it is released. */
  constructor(
    socket: Socket,
    address: string,
    on: { readonly spoke: () => void; readonly left: () => void },
  ) {
    this.#socket = socket;
    this.address = address;
    this.#on = on;
    socket.on("readable", this.#look);
    socket.on("end", this.#leave);
    socket.on("close", this.#leave);
  }

  /** Hands the connection over, with all that it said. */
  release(): Socket {
    this.#released = true;
    this.#detach();
    if (this.#bytes > 0) this.#socket.unshift(Buffer.concat(this.#head));
    return this.#socket;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  readonly #look = (): void => {
    while (this.#bytes < HEAD_BYTES) {
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk === null) return;
      const isFirst = this.#bytes === 0;
      this.#head.push(chunk);
      this.#bytes += chunk.length;
      if (isFirst) {
        this.#on.spoke();
        // It may have been released by that.
        if (this.#released) return;
      }
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
