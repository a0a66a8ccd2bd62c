import type { FileHandle } from "node:fs/promises";
import { FormError } from "./field-reader.ts";

/** Read in one go: some tenths of a millisecond of work for a checksum, after which others have the event loop. */
const WINDOW_BYTES = 256 << 10;

/** Reads a file here and there, mostly forwards, with few reads and little memory. */
export class FileWindow {
  readonly #file: FileHandle;
  readonly #buffer: Buffer;
  #start = 0;
  #length = 0;

  /** @param bytes how much of the file there is to read. */
  constructor(file: FileHandle, bytes: number) {
    this.#file = file;
    this.#buffer = Buffer.allocUnsafe(Math.min(bytes, WINDOW_BYTES));
  }

  /**
   * The bytes from a place on, as many of so many as are at hand: one at least. They are there until the next call.
   *
   * @throws FormError when the file ends before.
   */
  async some(at: number, length: number): Promise<Buffer> {
    if (at < this.#start || at >= this.#start + this.#length) {
      this.#start = at;
      this.#length = 0;
      const { bytesRead } = await this.#file.read(this.#buffer, {
        position: at,
      });
      this.#length = bytesRead;
      if (bytesRead === 0) throw new FormError(`ends at byte ${at}`);
    }
    const from = at - this.#start;
    return this.#buffer.subarray(from, Math.min(this.#length, from + length));
  }

  /** All of so many bytes from a place on, in memory of their own. */
  async all(at: number, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length;) {
      const some = await this.some(at + done, length - done);
      some.copy(bytes, done);
      done += some.length;
    }
    return bytes;
  }
}
