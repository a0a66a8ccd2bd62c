import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Level } from "level";
import { createHash } from "node:crypto";
import { readdir, rename, stat } from "node:fs/promises";
import {
  CursorSchema,
  type Cursor,
} from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  HelloSchema,
  type Refusal,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { describeCursor } from "../../model/cursor.ts";
import { Snapshot, type Changes, type Entry } from "../../model/snapshot.ts";
import { SLICE_ENTRIES } from "../../model/slices.ts";
import type { Logger } from "../../runtime/logger.ts";
import { openPrivateDirectory } from "../../runtime/private-directory.ts";
import { driveSlices } from "../../runtime/slices.ts";
import type { State } from "./last-good.ts";

/** The format this code writes, and the newest that it reads. */
const FORMAT = 1;
const META_FORMAT = "meta/format";
const META_WORKSPACE = "meta/workspace";
const META_CURSOR = "meta/cursor";
const META_REFUSALS = "meta/refusals";
const ENTRY = "entry/";
/** The first text after all that begin with ENTRY. */
const ENTRY_END = "entry0";
const READ_BATCH = SLICE_ENTRIES;
const SEAL_BYTES = 32;

/** The database of a replica: text keys, bytes as values. */
export type Database = Level<string, Uint8Array>;

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

/** What was found in a database. */
export interface Found {
  readonly db: Database;
  readonly state: State | undefined;
  readonly refusals: readonly Refusal[];
}

/** A data plane cannot start with its directory as it is. The message says what to do. */
export class ReplicaError extends Error {
  override readonly name = "ReplicaError";
}

/**
 * Opens the database and reads all of it, proved by its root. What is damaged is set aside, never deleted, and a new one
 * takes its place.
 *
 * @throws ReplicaError when it cannot be used, or is not to be.
 */
export async function openReplicaDatabase(
  options: DatabaseOptions,
): Promise<Found> {
  try {
    return await openAndRead(options);
  } catch (error) {
    const { directory, logger } = options;
    if (error instanceof ReplicaError) throw error;
    if (isOutside(error)) throw cannotUse(directory, error);
    const aside = await freeName(
      `${directory}.damaged-${new Date(options.now()).toISOString().replaceAll(":", "")}`,
    );
    logger.error("replica.damaged", { err: error, moved_to: aside });
    try {
      await rename(directory, aside);
      return await openAndRead(options);
    } catch (cause) {
      throw cause instanceof ReplicaError ? cause : cannotUse(directory, cause);
    }
  }
}

/** Writes a change and the name of what it leads to in one synced batch. */
export async function writeState(
  db: Database,
  workspace: string,
  changes: Changes,
  cursor: Cursor,
): Promise<void> {
  const batch = db.batch();
  try {
    const fill = function* () {
      let handled = 0;
      for (const key of changes.deletes) {
        batch.del(ENTRY + key);
        if (++handled % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
      }
      for (const { key, value } of changes.puts) {
        batch.put(ENTRY + key, value);
        if (++handled % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
      }
      return undefined;
    };
    await driveSlices(fill());
    batch.put(META_WORKSPACE, text(workspace));
    batch.put(META_CURSOR, seal(toBinary(CursorSchema, cursor)));
    await batch.write({ sync: true });
  } catch (error) {
    await batch.close();
    throw error;
  }
}

/** Writes what the node refused. */
export async function writeRefusals(
  db: Database,
  refuser: string,
  refusals: readonly Refusal[],
): Promise<void> {
  const hello = create(HelloSchema, {
    node: { build: refuser },
    refused: [...refusals],
  });
  await db.put(META_REFUSALS, seal(toBinary(HelloSchema, hello)), {
    sync: true,
  });
}

async function openAndRead(options: DatabaseOptions): Promise<Found> {
  const { directory } = options;
  const isNew = await isEmpty(directory);
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
    if (isNew) await db.put(META_FORMAT, text(String(FORMAT)), { sync: true });
    return await readDatabase(db, options);
  } catch (error) {
    await db.close();
    throw error;
  }
}

async function readDatabase(
  db: Database,
  options: DatabaseOptions,
): Promise<Found> {
  const { directory } = options;
  const [format, workspace, sealedCursor, sealedRefusals] = await db.getMany([
    META_FORMAT,
    META_WORKSPACE,
    META_CURSOR,
    META_REFUSALS,
  ]);
  if (format === undefined) throw new Error("the replica has no format number");
  if (!/^[1-9][0-9]{0,8}$/.test(string(format)))
    throw new Error(
      `the replica's format number is ${JSON.stringify(string(format))}`,
    );
  if (Number(string(format)) > FORMAT)
    throw new ReplicaError(
      `the replica in ${directory} has format ${string(format)}, this build reads up to ${FORMAT}: use the newer build, or an empty --data-dir`,
    );
  const snapshot = await driveSlices(
    Snapshot.empty(options.workspace).applySlices({
      puts: await readEntries(db),
      deletes: [],
    }),
  );
  const refusals = readRefusals(sealedRefusals, options);
  if (sealedCursor === undefined) {
    if (snapshot.entryCount > 0)
      throw new Error(
        `the replica has ${snapshot.entryCount} entries and does not say which state they are`,
      );
    return { db, state: undefined, refusals };
  }
  const cursorBytes = unseal(sealedCursor);
  if (cursorBytes === undefined)
    throw new Error("the replica's cursor is not what was written");
  const cursor = fromBinary(CursorSchema, cursorBytes);
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
    throw new Error(
      `the replica's content has root ${root}, it should be ${describeCursor(cursor)}`,
    );
  return { db, state: { cursor, snapshot }, refusals };
}

async function readEntries(db: Database): Promise<Entry[]> {
  const entries: Entry[] = [];
  const iterator = db.iterator({ gte: ENTRY, lt: ENTRY_END });
  try {
    for (;;) {
      const batch = await iterator.nextv(READ_BATCH);
      if (batch.length === 0) return entries;
      for (const [key, value] of batch)
        entries.push({ key: key.slice(ENTRY.length), value });
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

/** Bytes with their SHA-256 in front: LevelDB does not check what it reads from its tables, and no root covers these. */
function seal(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([createHash("sha256").update(bytes).digest(), bytes]);
}

function unseal(sealed: Uint8Array): Uint8Array | undefined {
  const bytes = sealed.subarray(SEAL_BYTES);
  return createHash("sha256")
    .update(bytes)
    .digest()
    .equals(sealed.subarray(0, SEAL_BYTES))
    ? bytes
    : undefined;
}

/** Whether nothing was ever stored in a directory, which is made if need be. */
async function isEmpty(directory: string): Promise<boolean> {
  await openPrivateDirectory(directory);
  // LevelDB makes these before it does anything else.
  const own = new Set(["LOCK", "LOG", "LOG.old"]);
  return (await readdir(directory)).every((name) => own.has(name));
}

async function freeName(name: string): Promise<string> {
  for (let i = 1; ; i++) {
    const candidate = i === 1 ? name : `${name}-${i}`;
    const taken = await stat(candidate).catch(() => undefined);
    if (taken === undefined) return candidate;
  }
}

/** Whether the disk or its rights are in the way, and not what is in the files. */
function isOutside(error: unknown): boolean {
  return /permission denied|not permitted|read-only file system|no space left|quota exceeded|file too large|too many open files/i.test(
    messagesOf(error),
  );
}

function cannotUse(directory: string, cause: unknown): ReplicaError {
  return new ReplicaError(`cannot use ${directory}: ${messagesOf(cause)}`, {
    cause,
  });
}

/** The messages of an error and its causes. */
function messagesOf(error: unknown): string {
  return error instanceof Error
    ? [
        error.message,
        ...(error.cause === undefined ? [] : [messagesOf(error.cause)]),
      ].join(": ")
    : String(error);
}

function causeCode(error: unknown): unknown {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}

function text(value: string): Uint8Array {
  return Buffer.from(value, "utf8");
}

function string(value: Uint8Array): string {
  return Buffer.from(value).toString("utf8");
}
