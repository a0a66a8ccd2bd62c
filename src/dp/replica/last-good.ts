import { open, type FileHandle } from "node:fs/promises";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { Bucket, Snapshot } from "../../model/snapshot.ts";
import {
  readSnapshotFileHeader,
  readSnapshotFilePrefix,
  SNAPSHOT_FILE_PREFIX_BYTES,
  writeSnapshotFile,
} from "../../model/snapshot-file.ts";
import { writeFileDurably } from "../../runtime/durable-file.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { LIMITS } from "../../sync/limits.ts";

/** A state with its name. */
export interface State {
  readonly cursor: Cursor;
  readonly snapshot: Snapshot;
}

type StateHeader = Exclude<ReturnType<typeof readSnapshotFileHeader>, string>;

/** A snapshot file is not what it should be. The message says how, without the file's name. */
export class DamagedFileError extends Error {
  override readonly name = "DamagedFileError";
}

/** Replaces a snapshot file, durably. */
export async function writeStateFile(
  file: string,
  state: State,
  timeMs: number,
): Promise<void> {
  await writeFileDurably(
    file,
    writeSnapshotFile(state.cursor, state.snapshot, timeMs),
  );
}

/**
 * Reads a snapshot file and proves it whole. Undefined when there is none.
 *
 * @throws DamagedFileError when any of it is not as it was written.
 */
export function readStateFile(file: string): Promise<State | undefined> {
  return reading(file, readState);
}

/**
 * Which state a snapshot file says to hold; what comes after its header is not looked at. Undefined when there is none.
 *
 * @throws DamagedFileError when its beginning is not as it was written.
 */
export function readStateCursor(file: string): Promise<Cursor | undefined> {
  return reading(file, async (handle) => (await readHeader(handle)).cursor);
}

async function reading<T>(
  file: string,
  read: (handle: FileHandle) => Promise<T>,
): Promise<T | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file, "r");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    return await read(handle);
  } finally {
    await handle.close();
  }
}

async function readHeader(handle: FileHandle): Promise<StateHeader> {
  const length = readSnapshotFilePrefix(
    await read(handle, SNAPSHOT_FILE_PREFIX_BYTES),
  );
  if (typeof length === "string") throw new DamagedFileError(length);
  const header = readSnapshotFileHeader(await read(handle, length));
  if (typeof header === "string") throw new DamagedFileError(header);
  const bytes = header.buckets.reduce((sum, b) => sum + b.size, 0);
  const before = SNAPSHOT_FILE_PREFIX_BYTES + length;
  const { size } = await handle.stat();
  if (bytes > LIMITS.snapshotBytes)
    throw new DamagedFileError(
      `announces ${bytes} bytes, more than ${LIMITS.snapshotBytes}`,
    );
  if (before + bytes !== size)
    throw new DamagedFileError(
      `has ${size} bytes, its header announces ${bytes} and ${before} before them`,
    );
  return header;
}

async function readState(handle: FileHandle): Promise<State> {
  const header = await readHeader(handle);
  const buckets: [number, Bucket][] = [];
  for (const { index, size: bytes, hash } of header.buckets) {
    const bucket = Bucket.parse(index, await read(handle, bytes));
    if (typeof bucket === "string")
      throw new DamagedFileError(`bucket ${index} ${bucket}`);
    if (!bucket.hash.equals(hash))
      throw new DamagedFileError(`bucket ${index} has another hash`);
    buckets.push([index, bucket]);
  }
  const snapshot = Snapshot.ofBuckets(header.workspace, buckets);
  const root = await driveSlices(snapshot.hashSlices());
  if (root !== header.cursor.root)
    throw new DamagedFileError(
      `has root ${root}, its cursor says ${header.cursor.root}`,
    );
  return { cursor: header.cursor, snapshot };
}

async function read(handle: FileHandle, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await handle.read(buffer, at, length - at);
    if (bytesRead === 0)
      throw new DamagedFileError(`ends ${length - at} bytes too early`);
    at += bytesRead;
  }
  return buffer;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
