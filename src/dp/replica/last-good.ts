import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import type { KeyObject } from "node:crypto";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Snapshot } from "../../model/snapshot.ts";
import { writeSnapshotFile } from "../../model/snapshot-file.ts";
import { writeFileDurably } from "../../runtime/durable-file.ts";
import {
  DamagedFileError,
  readStateFrom,
  readStateHeader,
  type ByteSource,
  type StateHeader,
} from "../state-reader.ts";

/** A state with its name. */
export interface State {
  readonly cursor: Cursor;
  readonly snapshot: Snapshot;
}

/** Replaces a snapshot file, durably; signed if there is a key. */
export async function writeStateFile(
  file: string,
  state: State,
  timeMs: number,
  signingKey?: KeyObject,
): Promise<void> {
  await writeFileDurably(
    file,
    writeSnapshotFile(state.cursor, state.snapshot, timeMs, { signingKey }),
  );
}

/**
 * Reads a snapshot file and proves it whole. Undefined when there is none. `check` sees the header before anything else
 * is read, and says what is wrong with it or nothing.
 *
 * @throws DamagedFileError when any of it is not as it was written, or `check` had something to say.
 */
export function readStateFile(
  file: string,
  check?: (header: StateHeader) => string | undefined,
): Promise<State | undefined> {
  return reading(file, (source) => readStateFrom(source, check));
}

/**
 * Which state a snapshot file says to hold; what comes after its header is not looked at. Undefined when there is none.
 *
 * @throws DamagedFileError when its beginning is not as it was written.
 */
export function readStateCursor(file: string): Promise<Cursor | undefined> {
  return reading(
    file,
    async (source) => (await readStateHeader(source)).cursor,
  );
}

async function reading<T>(
  file: string,
  read: (source: ByteSource) => Promise<T>,
): Promise<T | undefined> {
  let handle: FileHandle;
  try {
    handle = await openStateFile(file);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    return await read(await fileSource(handle));
  } finally {
    await handle.close();
  }
}

/**
 * Opens a file for reading. Never waits for what a pipe or a device might say: nothing could end that, not even the
 * process.
 *
 * @throws DamagedFileError when it is no regular file.
 */
export async function openStateFile(file: string): Promise<FileHandle> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if ((await handle.stat()).isFile()) return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  throw new DamagedFileError("is no regular file");
}

/** The bytes of an open file, from its beginning. */
export async function fileSource(handle: FileHandle): Promise<ByteSource> {
  const { size } = await handle.stat();
  return {
    size,
    async read(buffer, at) {
      const { bytesRead } = await handle.read(buffer, at, buffer.length - at);
      return bytesRead;
    },
  };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
