import { fromBinary } from "@bufbuild/protobuf";
import { Level } from "level";
import { readdir } from "node:fs/promises";
import {
  CursorSchema,
  type Cursor,
} from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  HelloSchema,
  type Refusal,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { describeCursor } from "../../model/cursor.ts";
import { Snapshot } from "../../model/snapshot.ts";
import { SLICE_ENTRIES } from "../../model/slices.ts";
import { SnapshotPacker } from "../../model/snapshot-packer.ts";
import { findTableDamage } from "../../runtime/leveldb-check/check.ts";
import type { Logger } from "../../runtime/logger.ts";
import {
  isDatabaseFile,
  openPrivateDirectory,
} from "../../runtime/private-directory.ts";
import { driveSlices } from "../../runtime/slices.ts";
import {
  ENTRY,
  ENTRY_END,
  FORMAT,
  META,
  string,
  text,
  unseal,
  unsealJson,
  type Database,
} from "./format.ts";
import { readInverseHead, type InverseHead } from "./inverse.ts";
import type { State } from "./last-good.ts";
import { isOutside, messagesOf, unusableFile } from "./outside.ts";
import { setAside } from "./set-aside.ts";
import { trialsFromJson, type Trials } from "./trials.ts";

/** Entries read from the database in one go. */
const READ_ENTRIES = SLICE_ENTRIES;
/** Bytes read in one go, about. The default of 16 KiB ends a read after some 50 entries. */
const READ_BYTES = 256 << 10;

/** What a replica's database is to be. */
export interface DatabaseOptions {
  readonly directory: string;
  readonly workspace: string;
  readonly logger: Logger;
  /** Who refuses: what another one refused is not read. */
  readonly refuser: string;
  /** Names what is set aside. */
  readonly now: () => number;
}

/** What was read from a database. */
export interface Contents {
  readonly state: State | undefined;
  readonly refusals: readonly Refusal[];
  readonly trials: Trials;
  readonly inverse: InverseHead | undefined;
  /** When a control plane last confirmed the state, by the wall clock. */
  readonly confirmedMs: number | undefined;
}

/** A database that was set aside. */
export interface Lost {
  readonly movedTo: string;
  /** The state that it said to hold, as far as that could be read. */
  readonly cursor: Cursor | undefined;
}

/** What was found in a database. */
export interface Found extends Contents {
  readonly db: Database;
  /** Set when it is a new one, in the place of one that was damaged. */
  readonly lost?: Lost;
}

/** A data plane cannot start with its directory as it is. The message says what to do. */
export class ReplicaError extends Error {
  override readonly name = "ReplicaError";
}

/** The disk, or its rights, are in the way: nothing can be stored while they are. */
export class DiskError extends Error {
  override readonly name = "DiskError";
}

/** What is in the files is not what was written. */
class DamagedError extends Error {
  override readonly name = "DamagedError";
  readonly cursor: Cursor | undefined;

  constructor(message: string, cursor?: Cursor) {
    super(message);
    this.cursor = cursor;
  }
}

/**
 * Opens the database and reads all of it, proved by its root. What is damaged is set aside, and a new one takes its
 * place.
 *
 * @throws ReplicaError when it is not to be used: another process has it, or it is of another workspace or a newer format.
 * @throws DiskError when it cannot be used for reasons outside of it.
 */
export async function openReplicaDatabase(
  options: DatabaseOptions,
): Promise<Found> {
  const { directory, logger } = options;
  let failure: unknown;
  try {
    return await openAndRead(options);
  } catch (error) {
    if (error instanceof ReplicaError) throw error;
    failure = error;
    if (isOutside(error)) {
      const file = await unusableFile(directory);
      if (file === undefined) throw cannotUse(directory, error);
      failure = new DamagedError(
        `${file} cannot be read and written by this user: ${messagesOf(error)}`,
      );
    }
  }
  try {
    const movedTo = await setAside(directory, options);
    const cursor = failure instanceof DamagedError ? failure.cursor : undefined;
    logger.error("replica.damaged", {
      err: failure,
      directory,
      moved_to: movedTo,
      held: cursor === undefined ? "unknown" : describeCursor(cursor),
      consequence:
        "starts from the second copy, last-good.hfs, if that is whole; a control plane sends what is newer",
    });
    return { ...(await openAndRead(options)), lost: { movedTo, cursor } };
  } catch (error) {
    if (error instanceof ReplicaError) throw error;
    throw cannotUse(directory, error);
  }
}

async function openAndRead(options: DatabaseOptions): Promise<Found> {
  const { directory } = options;
  const isNew = await isEmpty(directory);
  const damage = await findTableDamage(directory);
  if (damage !== undefined) throw new DamagedError(damage);
  const db: Database = new Level(directory, { valueEncoding: "view" });
  try {
    // LevelDB takes a directory without CURRENT for a new database, and removes the files of the old one.
    await db.open({ createIfMissing: isNew });
  } catch (error) {
    if (causeCode(error) === "LEVEL_LOCKED")
      throw new ReplicaError(
        `${directory} is in use by another process: stop it, or give this data plane its own --data-dir`,
        { cause: error },
      );
    throw error;
  }
  try {
    // From the beginning, so that a database without it is known to have lost something.
    if (isNew) await db.put(META.format, text(String(FORMAT)), { sync: true });
    return { db, ...(await readDatabase(db, options)) };
  } catch (error) {
    await db.close();
    throw error;
  }
}

/**
 * Reads all of an open database.
 *
 * @throws ReplicaError when it is of another workspace or a newer format; another error when it is damaged.
 */
export async function readDatabase(
  db: Database,
  options: DatabaseOptions,
): Promise<Contents> {
  const { directory } = options;
  const [
    format,
    workspace,
    sealedCursor,
    sealedRefusals,
    sealedInverse,
    sealedTrials,
    sealedConfirmed,
  ] = await db.getMany([
    META.format,
    META.workspace,
    META.cursor,
    META.refusals,
    META.inverse,
    META.trials,
    META.confirmed,
  ]);
  if (format === undefined)
    throw new DamagedError("the replica has no format number");
  if (!/^[1-9][0-9]{0,8}$/.test(string(format)))
    throw new DamagedError(
      `the replica's format number is ${JSON.stringify(string(format))}`,
    );
  if (Number(string(format)) > FORMAT)
    throw new ReplicaError(
      `the replica in ${directory} has format ${string(format)}, this build reads up to ${FORMAT}: use the newer build, or an empty --data-dir`,
    );
  const cursorBytes = sealedCursor && unseal(sealedCursor);
  const cursor =
    cursorBytes === undefined
      ? undefined
      : fromBinary(CursorSchema, cursorBytes);
  const snapshot = await readSnapshot(db, options.workspace, cursor);
  const contents = {
    refusals: readRefusals(sealedRefusals, options),
    trials: trialsFromJson(unsealJson(sealedTrials), options.refuser),
    inverse: readInverseHead(sealedInverse),
    confirmedMs: readConfirmed(sealedConfirmed),
  };
  if (sealedCursor === undefined) {
    if (snapshot.entryCount > 0)
      throw new DamagedError(
        `the replica has ${snapshot.entryCount} entries and does not say which state they are`,
      );
    return { ...contents, state: undefined };
  }
  if (cursor === undefined)
    throw new DamagedError("the replica's cursor is not what was written");
  if (workspace !== undefined && string(workspace) !== options.workspace) {
    // Damage must not look like somebody's mistake: the root says whether the name is right.
    const theirs = Snapshot.ofBuckets(string(workspace), snapshot.buckets());
    if ((await driveSlices(theirs.hashSlices())) === cursor.root)
      throw new ReplicaError(
        `the replica in ${directory} is of workspace "${string(workspace)}", asked for is "${options.workspace}": use another --data-dir`,
      );
  }
  const root = await driveSlices(snapshot.hashSlices());
  if (root !== cursor.root)
    throw new DamagedError(
      `the replica's content has root ${root}, it should be ${describeCursor(cursor)}`,
      cursor,
    );
  return { ...contents, state: { cursor, snapshot } };
}

async function readSnapshot(
  db: Database,
  workspace: string,
  cursor: Cursor | undefined,
): Promise<Snapshot> {
  const packer = new SnapshotPacker();
  try {
    await readEntries(db, packer);
  } catch (error) {
    // What is lost with it is to be told.
    if (isOutside(error)) throw error;
    throw new DamagedError(
      `the replica's entries cannot be read: ${messagesOf(error)}`,
      cursor,
    );
  }
  return (await driveSlices(packer.finishSlices(workspace))).snapshot;
}

function readConfirmed(sealed: Uint8Array | undefined): number | undefined {
  const value = unsealJson(sealed);
  if (typeof value !== "object" || value === null) return undefined;
  const { at_ms: atMs } = value as Readonly<Record<string, unknown>>;
  return typeof atMs === "number" ? atMs : undefined;
}

/** Packs all entries, which come in ascending order of their keys: an object for each would weigh more than what it holds. */
async function readEntries(db: Database, into: SnapshotPacker): Promise<void> {
  const iterator = db.iterator({
    gte: ENTRY,
    lt: ENTRY_END,
    highWaterMarkBytes: READ_BYTES,
  });
  try {
    for (;;) {
      // Each read waits for the database's thread, so others get the event loop in between.
      const batch = await iterator.nextv(READ_ENTRIES);
      if (batch.length === 0) return;
      for (const [key, value] of batch)
        into.add(key.slice(ENTRY.length), value);
    }
  } finally {
    await iterator.close();
  }
}

/** Refusals that cannot be read are no reason to give up the state beside them: they are made again if need be. */
function readRefusals(
  sealed: Uint8Array | undefined,
  { logger, refuser }: DatabaseOptions,
): readonly Refusal[] {
  if (sealed === undefined) return [];
  const bytes = unseal(sealed);
  if (bytes === undefined) {
    logger.error("replica.refusals_damaged");
    return [];
  }
  const { node, refused } = fromBinary(HelloSchema, bytes);
  // Another build, or other features, may be able to apply what this one's predecessor could not.
  return (node?.build ?? "") === refuser ? refused : [];
}

/** Whether nothing was ever stored in a directory, which is made if need be. */
async function isEmpty(directory: string): Promise<boolean> {
  await openPrivateDirectory(directory, isDatabaseFile);
  // LevelDB makes these before it does anything else.
  const own = new Set(["LOCK", "LOG", "LOG.old"]);
  return (await readdir(directory)).every((name) => own.has(name));
}

function cannotUse(directory: string, cause: unknown): DiskError {
  return new DiskError(`cannot use ${directory}: ${messagesOf(cause)}`, {
    cause,
  });
}

function causeCode(error: unknown): unknown {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
