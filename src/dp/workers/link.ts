import type { Duplex } from "node:stream";

/** Bytes before each frame: how long the frame is, and how long the JSON at its beginning; both u32, big-endian. */
const PREFIX_BYTES = 8;
/** No frame is anywhere near: whatever says so is not ours. */
const MAX_FRAME_BYTES = 256 << 20;

/** What a link does with what comes. */
export interface LinkHandlers<Incoming> {
  onMessage(message: Incoming, bytes: Buffer): void;
  /** The other side is gone, or what it sends cannot be read. Once. */
  onEnd(): void;
}

/**
 * Messages between two processes over a pipe of their own: JSON, and bytes as they are. In order, with the pipe's
 * back-pressure.
 */
export class Link<Incoming, Outgoing> {
  readonly #stream: Duplex;
  readonly #handlers: LinkHandlers<Incoming>;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixLength = 0;
  #frame: Buffer | undefined;
  #frameLength = 0;
  #ended = false;
  #drained: Promise<void> | undefined;

  constructor(stream: Duplex, handlers: LinkHandlers<Incoming>) {
    this.#stream = stream;
    this.#handlers = handlers;
    stream.on("data", (chunk: Buffer) => {
      this.#receive(chunk);
    });
    const end = (): void => {
      this.close();
    };
    stream.on("end", end).on("error", end).on("close", end);
  }

  /** Whether what was sent last is still here: what can be left out should be. */
  get isFull(): boolean {
    return this.#stream.writableNeedDrain;
  }

  /** Sends a message. Resolves when the pipe takes more, or has ended. */
  send(message: Outgoing, bytes?: Uint8Array): Promise<void> {
    if (this.#ended) return Promise.resolve();
    const stream = this.#stream;
    const json = Buffer.from(JSON.stringify(message), "utf8");
    const head = Buffer.allocUnsafe(PREFIX_BYTES + json.length);
    head.writeUInt32BE(json.length + (bytes?.length ?? 0), 0);
    head.writeUInt32BE(json.length, 4);
    json.copy(head, PREFIX_BYTES);
    stream.cork();
    stream.write(head);
    if (bytes !== undefined && bytes.length > 0) stream.write(bytes);
    stream.uncork();
    if (!stream.writableNeedDrain) return Promise.resolve();
    this.#drained ??= new Promise((resolve) => {
      const done = (): void => {
        stream.off("drain", done).off("close", done);
        this.#drained = undefined;
        resolve();
      };
      stream.on("drain", done).on("close", done);
    });
    return this.#drained;
  }

  /** Ends it on this side. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.destroy();
    this.#handlers.onEnd();
  }

  #receive(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.#ended;) {
      if (this.#frame === undefined) {
        const part = chunk.subarray(at, at + PREFIX_BYTES - this.#prefixLength);
        part.copy(this.#prefix, this.#prefixLength);
        this.#prefixLength += part.length;
        at += part.length;
        if (this.#prefixLength < PREFIX_BYTES) return;
        const length = this.#prefix.readUInt32BE(0);
        if (length > MAX_FRAME_BYTES) {
          this.close();
          return;
        }
        this.#prefixLength = 0;
        this.#frame = Buffer.allocUnsafe(length);
        this.#frameLength = 0;
      }
      const part = chunk.subarray(
        at,
        at + this.#frame.length - this.#frameLength,
      );
      part.copy(this.#frame, this.#frameLength);
      this.#frameLength += part.length;
      at += part.length;
      if (this.#frameLength < this.#frame.length) return;
      const frame = this.#frame;
      this.#frame = undefined;
      this.#deliver(frame, this.#prefix.readUInt32BE(4));
    }
  }

  #deliver(frame: Buffer, jsonLength: number): void {
    // Both ends are this build's: the form is what its types say.
    const message = JSON.parse(
      frame.toString("utf8", 0, jsonLength),
    ) as Incoming;
    this.#handlers.onMessage(message, frame.subarray(jsonLength));
  }
}
