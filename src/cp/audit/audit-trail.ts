import { mkdir, open, rm, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { ConfigError } from "../../model/violation.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import {
  beginningOf,
  endOf,
  lineOf,
  readLine,
  type AuditedCall,
  type AuditRecord,
  type KeptRecord,
} from "./record.ts";
import { AuditSegments, type AuditLimits } from "./segments.ts";

export interface AuditTrailOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Hears of each record's line, such as to write it to a file of the operator's. */
  readonly onRecord?: (line: string) => void;
  readonly limits?: Partial<AuditLimits>;
}

/** How long what was written may be the disk's business alone. */
const SYNC_MS = 1_000;

/** What is looked for in the records. */
export interface AuditQuery {
  /** Only what comes before this sequence. */
  readonly before: number | undefined;
  readonly limit: number;
  readonly matches: (record: KeptRecord) => boolean;
}

/** A page of records, newest first. */
export interface AuditPage {
  readonly records: readonly KeptRecord[];
  /** What the next page comes before; undefined: this was the last. */
  readonly next: number | undefined;
}

/**
 * The newest records, in files of lines of their own. A call that changes something is written down before it is made,
 * and again with its result before that is told: what a kill lets happen without result is found, and says so. The last
 * second may be lost by a power failure.
 */
export class AuditTrail implements AsyncDisposable {
  readonly #options: AuditTrailOptions;
  readonly #segments: AuditSegments;
  /** What has begun and not ended, by the sequence of its line. */
  readonly #open = new Map<number, AuditedCall>();
  #handle: FileHandle;
  #sequence: number;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  /** Whether the file may end within a line. */
  #torn: boolean;
  #syncing: Timer | undefined;
  #failing = false;
  #closed = false;

  private constructor(
    options: AuditTrailOptions,
    segments: AuditSegments,
    found: Found,
  ) {
    this.#options = options;
    this.#segments = segments;
    this.#handle = found.handle;
    this.#sequence = found.sequence;
    this.#torn = found.torn;
  }

  /** @throws ConfigError when the directory cannot be used. */
  static async open(options: AuditTrailOptions): Promise<AuditTrail> {
    const { directory, limits } = options;
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const segments = await AuditSegments.find(directory, limits);
      const found = await lastOf(segments);
      const trail = new AuditTrail(options, segments, found);
      for (const [begun, call] of found.open) {
        trail.#open.set(begun, call);
        await trail.end(begun, {
          ...call,
          revision: 0,
          result: "unknown",
          reason: "the control plane ended before it could say",
          omitted: 0,
        });
      }
      return trail;
    } catch (cause) {
      throw new ConfigError(
        "failed_precondition",
        `the audit log in ${directory} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
    }
  }

  /** Writes down that a call begins. Answers what {@link end} wants. Rejects when it cannot be written. */
  async begin(call: AuditedCall): Promise<number> {
    const begun = ++this.#sequence;
    this.#open.set(begun, call);
    try {
      await this.#write(begun, beginningOf(call, begun));
    } catch (error) {
      this.#open.delete(begun);
      throw error;
    }
    return begun;
  }

  /** Writes down how a call has ended. A failure is logged: the call is done. */
  async end(begun: number, record: AuditRecord): Promise<void> {
    const sequence = ++this.#sequence;
    // Made for those only who hear of it.
    const { onRecord } = this.#options;
    if (onRecord !== undefined) onRecord(lineOf(record, sequence));
    try {
      await this.#write(sequence, endOf(record, sequence, begun), begun);
    } catch {
      // Logged where it happened.
    }
  }

  /** Writes down a call that has begun and ended. A failure is logged. */
  async add(record: AuditRecord): Promise<void> {
    const sequence = ++this.#sequence;
    const line = lineOf(record, sequence);
    this.#options.onRecord?.(line);
    try {
      await this.#write(sequence, line);
    } catch {
      // Logged where it happened.
    }
  }

  /** Reads records, newest first. */
  list(query: AuditQuery): Promise<AuditPage> {
    return this.#segments.list(query);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#syncing?.cancel();
    await this.#writing;
    await this.#handle.sync().catch(() => undefined);
    await this.#handle.close();
  }

  /** @param ends The beginning that is no longer open once this is written. */
  #write(sequence: number, line: string, ends?: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new Error("the audit log is closed"));
        return;
      }
      this.#waiting.push({ sequence, line, ends, resolve, reject });
      this.#writing ??= this.#run().finally(() => {
        this.#writing = undefined;
      });
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        if (this.#segments.isFull) await this.#turn(batch[0]?.sequence ?? 0);
        await this.#append(batch.map(({ line }) => line).join(""));
        this.#failing = false;
        for (const { ends, resolve } of batch) {
          if (ends !== undefined) this.#open.delete(ends);
          resolve();
        }
      } catch (error) {
        this.#failed(error);
        for (const { reject } of batch) reject(error);
      }
    }
  }

  async #append(text: string): Promise<void> {
    const bytes = Buffer.from(this.#torn ? `\n${text}` : text);
    this.#torn = true;
    await writeWhole(this.#handle, bytes);
    this.#torn = false;
    this.#segments.grew(bytes.length);
    this.#syncing ??= this.#options.clock.setTimer(SYNC_MS, () => {
      this.#syncing = undefined;
      this.#handle.datasync().catch((error: unknown) => {
        if (!this.#closed) this.#failed(error);
      });
    });
  }

  /** Goes on in a new file, which begins with what is open: only the last file is read at a start. */
  async #turn(sequence: number): Promise<void> {
    const file = this.#segments.nameFrom(sequence);
    const next = await open(file, "ax", 0o600);
    const carried = Buffer.from(
      [...this.#open].map(([begun, call]) => beginningOf(call, begun)).join(""),
    );
    try {
      await next.appendFile(carried);
    } catch (error) {
      // Left there, it would count as one of those that are kept.
      await next.close().catch(() => undefined);
      await rm(file, { force: true }).catch(() => undefined);
      throw error;
    }
    const old = this.#handle;
    this.#handle = next;
    this.#torn = false;
    try {
      await this.#segments.turned(file, carried.length);
      await old.datasync();
    } finally {
      await old.close();
    }
  }

  #failed(error: unknown): void {
    if (!this.#failing)
      this.#options.logger.error("audit.failing", {
        err: error,
        consequence: "calls that change something are refused meanwhile",
      });
    this.#failing = true;
  }
}

/** Writes all of it. Less work than `appendFile`, for every change is written down twice. */
async function writeWhole(handle: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;)
    at += (await handle.write(bytes, at)).bytesWritten;
}

interface Waiting {
  readonly sequence: number;
  readonly line: string;
  readonly ends: number | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Found {
  readonly handle: FileHandle;
  readonly sequence: number;
  readonly torn: boolean;
  readonly open: ReadonlyMap<number, AuditedCall>;
}

/** Where the last file ends, and what has not ended in it. */
async function lastOf(segments: AuditSegments): Promise<Found> {
  const last = segments.newest;
  let { sequence } = last;
  const found = new Map<number, AuditedCall>();
  const content = await segments.read(last);
  for (const text of content.split("\n")) {
    const line = readLine(text);
    if (line?.type === "begins") {
      found.set(line.sequence, line.call);
      sequence = Math.max(sequence, line.sequence);
    } else if (line?.type === "record") {
      if (line.ends !== undefined) found.delete(line.ends);
      sequence = Math.max(sequence, line.record.sequence);
    }
  }
  return {
    handle: await open(path.join(segments.directory, last.file), "a", 0o600),
    sequence,
    torn: content !== "" && !content.endsWith("\n"),
    open: found,
  };
}
