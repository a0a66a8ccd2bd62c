import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { HostPort } from "../../src/runtime/host-port.ts";

/** A TCP connection whose bytes a test writes and reads itself. */
export class RawConnection {
  readonly socket: Socket;
  #received = "";
  readonly #closed: Promise<void>;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      this.#received += text;
    });
    socket.on("error", () => {});
    this.#closed = new Promise((resolve) =>
      socket.once("close", () => resolve()),
    );
  }

  static async open({ host, port }: HostPort): Promise<RawConnection> {
    const socket = connect(port, host);
    await once(socket, "connect");
    return new RawConnection(socket);
  }

  get received(): string {
    return this.#received;
  }

  /** Writes pieces that arrive as packets of their own. */
  async write(...pieces: (string | Uint8Array)[]): Promise<void> {
    this.socket.setNoDelay(true);
    for (const piece of pieces) {
      this.socket.write(piece);
      // Lets the other side's event loop, which is ours, read before the next one.
      for (let i = 0; i < 3; i++)
        await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Everything received, once it matches. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#received)) {
      if (this.socket.destroyed)
        throw new Error(`closed after ${JSON.stringify(this.#received)}`);
      await Promise.race([once(this.socket, "data"), this.#closed]);
    }
    return this.#received;
  }

  /** Everything received, once the other side has closed. */
  async closed(): Promise<string> {
    await this.#closed;
    return this.#received;
  }
}
