import { open, type FileHandle } from "node:fs/promises";
import { once } from "node:events";
import { stderr, stdout } from "node:process";
import type { Logger } from "../../../runtime/logger.ts";

/** Bytes that may wait to be written; what comes then is dropped. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;

/** Appends lines to a file in the background, in order and as many at a time as there are. */
export class LineFile {
  readonly #path: string;
  readonly #reopen: boolean;
  readonly #logger: Logger;
  #waiting: string[] = [];
  #bytes = 0;
  #dropped = 0;
  #writing: Promise<void> | undefined;
  #handle: FileHandle | undefined;
  #failing = false;

  constructor(
    path: string,
    reopen: boolean,
    { logger }: { readonly logger: Logger },
  ) {
    this.#path = path;
    this.#reopen = reopen;
    this.#logger = logger;
  }

  /** Never waits and never throws. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#bytes + bytes > MAX_WAITING_BYTES) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(line);
    this.#bytes += bytes;
    this.#writing ??= this.#run();
  }

  /** Waits until everything is written. */
  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#handle?.close();
    this.#handle = undefined;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#bytes = 0;
      try {
        await this.#append(`${lines.join("\n")}\n`);
        if (this.#failing || this.#dropped > 0)
          this.#logger.warn("plugin.entries-dropped", {
            plugin: "file-log",
            path: this.#path,
            count: this.#dropped,
          });
        this.#failing = false;
        this.#dropped = 0;
      } catch (error) {
        this.#dropped += lines.length;
        if (!this.#failing)
          this.#logger.error("plugin.write-failed", {
            plugin: "file-log",
            path: this.#path,
            err: error,
          });
        this.#failing = true;
        await this.#handle?.close().catch(() => undefined);
        this.#handle = undefined;
      }
    }
    this.#writing = undefined;
  }

  async #append(text: string): Promise<void> {
    const stream = STREAMS.get(this.#path);
    if (stream !== undefined) {
      if (!stream.write(text)) await once(stream, "drain");
      return;
    }
    this.#handle ??= await open(this.#path, "a", 0o644);
    await this.#handle.appendFile(text);
    if (!this.#reopen) return;
    await this.#handle.close();
    this.#handle = undefined;
  }
}

/** Opened by name these would be another position in the same file, or fail for a socket. */
const STREAMS = new Map<string, NodeJS.WritableStream>([
  ["/dev/stdout", stdout],
  ["/dev/stderr", stderr],
]);
