import { readdir, readFile, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { AuditPage, AuditQuery } from "./audit-trail.ts";
import { readLine, type KeptRecord } from "./record.ts";

/** How much is kept. */
export interface AuditLimits {
  /** A file that has more is followed by a new one. Default 512 KiB: it is read in one go. */
  readonly segmentBytes: number;
  /** More files are not kept: the oldest goes. Default 64, about a hundred thousand records. */
  readonly segments: number;
}

const LIMITS: AuditLimits = { segmentBytes: 512 << 10, segments: 64 };

/** Looking for records goes through so many files for one page. */
const SEGMENTS_PER_PAGE = 8;

const FORM = /^audit-(?<sequence>\d{16})\.jsonl$/;

/** A file of records. */
interface Segment {
  readonly file: string;
  /** No record in it has a lower one. */
  readonly sequence: number;
}

/** The files of the audit log, oldest first. */
export class AuditSegments {
  readonly directory: string;
  readonly #limits: AuditLimits;
  #segments: readonly Segment[];
  #bytes = 0;

  private constructor(
    directory: string,
    limits: AuditLimits,
    segments: readonly Segment[],
  ) {
    this.directory = directory;
    this.#limits = limits;
    this.#segments = segments;
  }

  static async find(
    directory: string,
    limits: Partial<AuditLimits> = {},
  ): Promise<AuditSegments> {
    const found: Segment[] = [];
    for (const file of (await readdir(directory)).sort()) {
      const segment = segmentOf(file);
      if (segment === undefined) continue;
      const at = path.join(directory, file);
      // A kill or a full disk leaves them; as the newest, it would hide what is open in the one before it.
      if ((await stat(at)).size === 0) await rm(at, { force: true });
      else found.push(segment);
    }
    const segments = new AuditSegments(
      directory,
      { ...LIMITS, ...limits },
      found.length > 0 ? found : [segmentFrom(0)],
    );
    if (found.length > 0) {
      const newest = path.join(directory, segments.newest.file);
      segments.#bytes = (await stat(newest)).size;
    }
    return segments;
  }

  /** The one that is written to. */
  get newest(): Segment {
    return this.#segments.at(-1) ?? segmentFrom(0);
  }

  get isFull(): boolean {
    return this.#bytes >= this.#limits.segmentBytes;
  }

  /** Says that bytes were written to the newest. */
  grew(bytes: number): void {
    this.#bytes += bytes;
  }

  /** The path of a file that begins with a sequence. */
  nameFrom(sequence: number): string {
    return path.join(this.directory, segmentFrom(sequence).file);
  }

  /** Says that a new file is written to. Removes what is too old. */
  async turned(file: string, bytes: number): Promise<void> {
    const next = segmentOf(path.basename(file));
    if (next === undefined) throw new TypeError(`${file} is no segment`);
    const all = [...this.#segments, next];
    const kept = all.slice(-this.#limits.segments);
    this.#segments = kept;
    this.#bytes = bytes;
    for (const gone of all.slice(0, all.length - kept.length))
      await rm(path.join(this.directory, gone.file), { force: true });
  }

  /** All of a file; empty when it is not there, or not any more. */
  async read(segment: Segment): Promise<string> {
    try {
      return await readFile(path.join(this.directory, segment.file), "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT")
        return "";
      throw error;
    }
  }

  /** Reads records, newest first, and not more than some files at a time. */
  async list({ before, limit, matches }: AuditQuery): Promise<AuditPage> {
    const records: KeptRecord[] = [];
    const older = this.#segments.filter(
      ({ sequence }) => before === undefined || sequence < before,
    );
    let read = 0;
    for (const segment of older.toReversed()) {
      if (read++ === SEGMENTS_PER_PAGE)
        return { records, next: segmentAfter(older, segment) };
      const lines = (await this.read(segment)).split("\n");
      for (const text of lines.toReversed()) {
        const line = readLine(text);
        if (line?.type !== "record") continue;
        const { record } = line;
        if (before !== undefined && record.sequence >= before) continue;
        if (!matches(record)) continue;
        if (records.length === limit)
          return { records, next: records.at(-1)?.sequence };
        records.push(record);
      }
    }
    return { records, next: undefined };
  }
}

/** Where looking goes on with a file: before the first sequence of the one after it. */
function segmentAfter(all: readonly Segment[], segment: Segment): number {
  return all[all.indexOf(segment) + 1]?.sequence ?? segment.sequence + 1;
}

function segmentOf(file: string): Segment | undefined {
  const digits = FORM.exec(file)?.groups?.["sequence"];
  return digits === undefined ? undefined : { file, sequence: Number(digits) };
}

function segmentFrom(sequence: number): Segment {
  return {
    file: `audit-${String(sequence).padStart(16, "0")}.jsonl`,
    sequence,
  };
}
