import { cursorsEqual, describeCursor } from "../../model/cursor.ts";
import { parseKey } from "../../model/kinds.ts";
import { SnapshotPacker } from "../../model/snapshot-packer.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { getValue, type LevelDatabase } from "./level-database.ts";
import { decodeHead } from "./level-head.ts";
import type { LevelKeys } from "./level-keys.ts";
import { decodeRecord } from "./record-codec.ts";
import {
  PREDECESSORS,
  type LoadedWorkspace,
  type RevisionRecord,
  type StoredHead,
} from "./store.ts";

/** Entries read from the database in one go. */
const READ_ENTRIES = 512;
/** Bytes read in one go, about. The default of 16 KiB ends a read after some 50 entries. */
const READ_BYTES = 256 << 10;

/** What was read contradicts itself; the message says what and where. */
export class DamagedError extends Error {
  override readonly name = "DamagedError";
}

/**
 * Reads the head of a workspace: undefined when there is no such workspace.
 *
 * @throws DamagedError when it is unreadable, or missing although the workspace has content.
 */
export async function readHead(
  database: LevelDatabase,
  keys: LevelKeys,
): Promise<StoredHead | undefined> {
  const bytes = await getValue(database, keys.head);
  if (bytes === undefined) {
    // What is left of one that was removed is nobody's.
    if ((await getValue(database, keys.removed)) !== undefined)
      return undefined;
    const [orphan] = await database
      .keys({ ...keys.range("entry"), limit: 1 })
      .all();
    const [record] = await database
      .keys({ ...keys.range("log"), limit: 1 })
      .all();
    const found = orphan ?? record;
    if (found === undefined) return undefined;
    throw new DamagedError(`it has "${found}" and no "${keys.head}"`);
  }
  const head = decodeHead(bytes);
  if (head === undefined)
    throw new DamagedError(
      `"${keys.head}" is not a head but ${JSON.stringify(bytes.toString("utf8", 0, 200))}`,
    );
  return head;
}

/**
 * Reads all entries of a workspace and compares the root of what was read with the head's.
 *
 * @throws DamagedError when they differ, or the history has gaps.
 */
export async function readWorkspace(
  database: LevelDatabase,
  keys: LevelKeys,
  workspace: string,
  head: StoredHead,
): Promise<LoadedWorkspace> {
  const { cursor } = head;
  await checkLog(database, keys, head);
  const packer = new SnapshotPacker();
  const { gt, lt } = keys.range("entry");
  const iterator = database.iterator({
    gt,
    lt,
    highWaterMarkBytes: READ_BYTES,
  });
  try {
    for (;;) {
      // Each read waits for the database's thread, so others get the event loop in between.
      const entries = await iterator.nextv(READ_ENTRIES);
      if (entries.length === 0) break;
      for (const [stored, value] of entries) {
        const key = stored.slice(gt.length);
        if (parseKey(key) === undefined)
          throw new DamagedError(`"${key}" is not the key of an entry`);
        packer.add(key, value);
      }
    }
  } finally {
    await iterator.close();
  }
  const packed = await driveSlices(packer.finishSlices(workspace));
  const { snapshot } = packed;
  const root = await driveSlices(snapshot.hashSlices());
  if (root !== cursor.root)
    throw new DamagedError(
      `the ${snapshot.entryCount} entries of workspace "${workspace}" have root ${root}, and its head, ${describeCursor(cursor)}, says ${cursor.root}`,
    );
  return { ...head, snapshot, keys: () => packed.keys() };
}

/** The newest record must be the head's, and there must be one for every revision since the oldest that is kept. */
async function checkLog(
  database: LevelDatabase,
  keys: LevelKeys,
  { cursor, predecessors }: StoredHead,
): Promise<void> {
  const { gt, lt } = keys.range("log");
  let expected: bigint | undefined;
  const iterator = database.keys({ gt, lt });
  try {
    for (;;) {
      const found = await iterator.nextv(READ_ENTRIES);
      if (found.length === 0) break;
      for (const key of found) {
        const revision = BigInt(key.slice(gt.length));
        if (expected !== undefined && revision !== expected)
          throw new DamagedError(
            `its history goes from revision ${expected - 1n} to revision ${revision}`,
          );
        expected = revision + 1n;
      }
    }
  } finally {
    await iterator.close();
  }
  const newest = expected === undefined ? 0n : expected - 1n;
  if (newest !== cursor.revision)
    throw new DamagedError(
      `its history ends with revision ${newest}, and its head is ${describeCursor(cursor)}`,
    );
  const bytes = await getValue(database, keys.log(newest));
  if (bytes === undefined) return;
  const record = await readRecord(bytes);
  // An epoch may have been replaced since, or so many that the record's is not remembered any more.
  const replaced =
    predecessors.includes(record.cursor.epoch) ||
    predecessors.length >= PREDECESSORS;
  const expectedCursor = replaced
    ? { ...cursor, epoch: record.cursor.epoch }
    : cursor;
  if (!cursorsEqual(record.cursor, expectedCursor))
    throw new DamagedError(
      `its newest record led to ${describeCursor(record.cursor)}, and its head is ${describeCursor(cursor)}`,
    );
}

/**
 * Decodes a record of the history.
 *
 * @throws DamagedError when it is none.
 */
export async function readRecord(bytes: Buffer): Promise<RevisionRecord> {
  try {
    return await driveSlices(decodeRecord(bytes));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new DamagedError(
      `a record in its history is unreadable: ${error.message}`,
      { cause: error },
    );
  }
}
