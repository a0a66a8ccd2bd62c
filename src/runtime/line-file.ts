import { open, stat, type FileHandle } from "node:fs/promises";
import { write } from "node:fs";
import type { Clock } from "./clock.ts";
import type { Logger } from "./logger.ts";

/** Where lines go: a descriptor that is open already, or a file that is appended to. */
export type LineTarget = { readonly fd: number } | { readonly path: string };

export interface LineFileOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the log calls it. */
  readonly name: string;
  /** Hears of each line that is given up. */
  readonly onDrop: () => void;
  /** The most characters that wait to be written. Default: 4 Mi. */
  readonly maxWaiting?: number;
}

const MAX_WAITING = 4 * 1024 * 1024;
/** How long a line waits for others to be written with it. */
const GATHER_MS = 50;
/** So much is written at once, about. */
const BATCH = 64 * 1024;
/** So much a pipe takes from several processes without mixing them up. */
const PIPE_BATCH = 4096;
const RETRY_MS = 1000;
/** A pipe that is full is tried again soon. */
const FULL_RETRY_MS = 20;
/** How often it is looked whether the file is still the one of its name. */
const MOVED_CHECK_MS = 5000;
/** How long the last lines may take. */
const CLOSE_MS = 2000;

/**
 * Appends lines to a file or a pipe without ever holding up who writes them: they are gathered, written one batch after
 * the other by a thread of node's, and given up, newest first, when too many wait. A file that was moved away is followed
 * by a new one of its name, at the latest some seconds later.
 */
export class LineFile implements AsyncDisposable {
  readonly #options: LineFileOptions;
  readonly #target: LineTarget;
  readonly #batchSize: number;
  #handle: FileHandle | undefined;
  #waiting: string[] = [];
  #waitingLength = 0;
  /** What of the batch under way has not been written. */
  #rest: Buffer = Buffer.alloc(0);
  #running: Promise<void> | undefined;
  #reopening = false;
  #checkedMs: number;
  #failing = false;
  #dropped = 0;
  #closed = false;
  readonly #closing = new AbortController();

  private constructor(
    target: LineTarget,
    handle: FileHandle | undefined,
    options: LineFileOptions,
  ) {
    this.#target = target;
    this.#handle = handle;
    this.#options = options;
    this.#batchSize = handle === undefined ? PIPE_BATCH : BATCH;
    this.#checkedMs = options.clock.monotonic();
  }

  /** @throws Error of the system when the file cannot be opened. */
  static async open(
    target: LineTarget,
    options: LineFileOptions,
  ): Promise<LineFile> {
    const handle = "path" in target ? await append(target.path) : undefined;
    return new LineFile(target, handle, options);
  }

  /** Takes a line, with its end. Never waits, never throws. */
  write(line: string): void {
    const { maxWaiting = MAX_WAITING } = this.#options;
    if (this.#closed || this.#waitingLength + line.length > maxWaiting) {
      this.#dropped++;
      this.#options.onDrop();
      return;
    }
    this.#waiting.push(line);
    this.#waitingLength += line.length;
    this.#running ??= this.#run();
  }

  /** Goes on in a new file of the same name, soon. */
  reopen(): void {
    this.#reopening = true;
    this.#running ??= this.#run();
  }

  /** Writes what waits, as far as that is soon done, and closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#closing.abort();
    const done = new AbortController();
    const late = this.#options.clock
      .sleep(CLOSE_MS, done.signal)
      .catch(() => undefined);
    await Promise.race([this.#running, late]);
    done.abort();
    // One that hangs in a write would hang here too.
    if (this.#running === undefined) await this.#handle?.close();
  }

  async #run(): Promise<void> {
    // Taken a moment later, so that what comes meanwhile goes with it.
    await this.#pause(GATHER_MS);
    while (
      this.#waiting.length > 0 ||
      this.#rest.length > 0 ||
      this.#reopening
    ) {
      await this.#followMoves();
      if (this.#rest.length === 0) this.#rest = this.#batch();
      if (this.#rest.length === 0) continue;
      try {
        const written = await this.#append(this.#rest);
        this.#rest = this.#rest.subarray(written);
        this.#succeeded();
      } catch (error) {
        if (isFull(error)) await this.#pause(FULL_RETRY_MS);
        else {
          this.#failed(error);
          if (this.#closed) break;
          await this.#pause(RETRY_MS);
        }
      }
    }
    this.#running = undefined;
  }

  /** As many lines as are written at once, at least one. */
  #batch(): Buffer {
    let length = 0;
    let count = 0;
    for (const line of this.#waiting) {
      if (count > 0 && length + line.length > this.#batchSize) break;
      length += line.length;
      count++;
    }
    const lines = this.#waiting.splice(0, count);
    this.#waitingLength -= length;
    return Buffer.from(lines.join(""), "utf8");
  }

  #append(bytes: Buffer): Promise<number> {
    const fd = this.#handle?.fd ?? ("fd" in this.#target ? this.#target.fd : 1);
    return new Promise((resolve, reject) => {
      write(fd, bytes, 0, bytes.length, null, (error, written) => {
        if (error === null) resolve(written);
        else reject(error);
      });
    });
  }

  async #followMoves(): Promise<void> {
    const now = this.#options.clock.monotonic();
    if (!("path" in this.#target) || this.#handle === undefined) {
      this.#reopening = false;
      return;
    }
    // Between two batches only: no line is torn between two files.
    if (this.#rest.length > 0) return;
    if (!this.#reopening && now - this.#checkedMs < MOVED_CHECK_MS) return;
    const { path } = this.#target;
    this.#checkedMs = now;
    const wanted = this.#reopening || (await isMoved(path, this.#handle));
    this.#reopening = false;
    if (!wanted) return;
    try {
      const handle = await append(path);
      const old = this.#handle;
      this.#handle = handle;
      await old.close();
    } catch (error) {
      // The one so far is better than none.
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    this.#options.logger.error(`${this.#options.name}.failing`, { err: error });
  }

  #succeeded(): void {
    if (!this.#failing && this.#dropped === 0) return;
    if (this.#waitingLength > (this.#options.maxWaiting ?? MAX_WAITING) / 2)
      return;
    this.#options.logger.warn(`${this.#options.name}.recovered`, {
      dropped: this.#dropped,
    });
    this.#failing = false;
    this.#dropped = 0;
  }

  /** Waits; not at all once this closes. */
  async #pause(ms: number): Promise<void> {
    if (this.#closed) {
      // Others may go on meanwhile.
      await new Promise((resolve) => setImmediate(resolve));
      return;
    }
    await this.#options.clock
      .sleep(ms, this.#closing.signal)
      .catch(() => undefined);
  }
}

function append(path: string): Promise<FileHandle> {
  return open(path, "a", 0o600);
}

async function isMoved(path: string, handle: FileHandle): Promise<boolean> {
  try {
    const [named, ours] = await Promise.all([stat(path), handle.stat()]);
    return named.ino !== ours.ino || named.dev !== ours.dev;
  } catch {
    // Nothing has that name any more.
    return true;
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EAGAIN";
}
