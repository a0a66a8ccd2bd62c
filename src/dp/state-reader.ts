import { Bucket } from "../model/bucket.ts";
import { rootOf } from "../model/root.ts";
import { Snapshot } from "../model/snapshot.ts";
import {
  readSnapshotFileHeader,
  readSnapshotFilePrefix,
  SNAPSHOT_FILE_PREFIX_BYTES,
} from "../model/snapshot-file.ts";
import { LIMITS } from "../sync/limits.ts";
import type { State } from "./replica/last-good.ts";

/** A bucket is rarely larger. */
const FIRST_BYTES = 1 << 20;

/** Where the bytes of a snapshot file come from, in their order. */
export interface ByteSource {
  /** How many there are; undefined when that is not known before. */
  readonly size: number | undefined;
  /** Fills `buffer` from `at` on, with one byte or more. Returns how many, 0 at the end. */
  read(buffer: Buffer, at: number): Promise<number>;
}

/** What a snapshot file says of itself. */
export type StateHeader = Exclude<
  ReturnType<typeof readSnapshotFileHeader>,
  string
>;

/** A snapshot file is not what it should be. The message says how, without the file's name. */
export class DamagedFileError extends Error {
  override readonly name = "DamagedFileError";
}

/**
 * Reads a snapshot file and proves it whole. `check` sees the header, says what is wrong with it or nothing, and is asked
 * before memory is made for what the header announces.
 *
 * @throws DamagedFileError when any of it is not as it was written, or `check` had something to say.
 */
export async function readStateFrom(
  source: ByteSource,
  check: (header: StateHeader) => string | undefined = () => undefined,
): Promise<State> {
  const header = await readStateHeader(source);
  const objection = check(header);
  if (objection !== undefined) throw new DamagedFileError(objection);
  const buckets: [number, Bucket][] = [];
  for (const { index, size: bytes, hash } of header.buckets) {
    const bucket = Bucket.parse(index, await take(source, bytes));
    if (typeof bucket === "string")
      throw new DamagedFileError(`bucket ${index} ${bucket}`);
    if (!bucket.hash.equals(hash))
      throw new DamagedFileError(`bucket ${index} has another hash`);
    buckets.push([index, bucket]);
  }
  if (source.size === undefined && (await source.read(Buffer.alloc(1), 0)) > 0)
    throw new DamagedFileError("goes on after its last bucket");
  // Of the hashes in the header, with which each bucket was compared, the cursor's root was computed.
  const snapshot = Snapshot.ofBuckets(header.workspace, buckets);
  return { cursor: header.cursor, snapshot };
}

/**
 * Reads what a snapshot file says of itself, and whether that can be.
 *
 * @throws DamagedFileError when it is not as it was written.
 */
export async function readStateHeader(
  source: ByteSource,
): Promise<StateHeader> {
  const length = readSnapshotFilePrefix(
    await take(source, SNAPSHOT_FILE_PREFIX_BYTES),
  );
  if (typeof length === "string") throw new DamagedFileError(length);
  const header = readSnapshotFileHeader(await take(source, length));
  if (typeof header === "string") throw new DamagedFileError(header);
  const bytes = header.buckets.reduce((sum, b) => sum + b.size, 0);
  const root = rootOf(
    header.workspace,
    header.buckets.map((bucket) => [bucket.index, bucket]),
  );
  if (root !== header.cursor.root)
    throw new DamagedFileError(
      `has root ${root}, its cursor says ${header.cursor.root}`,
    );
  const before = SNAPSHOT_FILE_PREFIX_BYTES + length;
  if (bytes > LIMITS.snapshotBytes)
    throw new DamagedFileError(
      `announces ${bytes} bytes, more than ${LIMITS.snapshotBytes}`,
    );
  if (source.size !== undefined && before + bytes !== source.size)
    throw new DamagedFileError(
      `has ${source.size} bytes, its header announces ${bytes} and ${before} before them`,
    );
  return header;
}

async function take(source: ByteSource, length: number): Promise<Buffer> {
  let buffer = Buffer.allocUnsafeSlow(Math.min(length, FIRST_BYTES));
  let at = 0;
  while (at < length) {
    // With what came: what is only announced takes no memory.
    if (at === buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(length, 2 * at));
      buffer.copy(larger);
      buffer = larger;
    }
    const count = await source.read(buffer, at);
    if (count === 0)
      throw new DamagedFileError(`ends ${length - at} bytes too early`);
    at += count;
  }
  return buffer;
}
