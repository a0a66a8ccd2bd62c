import { readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { cursorOf, describeCursor } from "../../model/cursor.ts";
import type { Slices } from "../../model/slices.ts";
import { Snapshot } from "../../model/snapshot.ts";
import { ConfigError } from "../../model/violation.ts";
import { isTemporaryOf, syncDirectory } from "../../runtime/durable-file.ts";
import {
  openPrivateDirectory,
  strangersIn,
} from "../../runtime/private-directory.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { PROBE_FILE, STORE_DIRECTORY } from "../control-plane-files.ts";
import { isInUse } from "../store/level-errors.ts";
import { LevelStore } from "../store/level-store.ts";
import type { StoredChange } from "../store/store.ts";
import { checkContentSlices } from "./check-content.ts";

/** Where a store is made before it gets its name: one that is half done is none that a control plane would open. */
const UNFINISHED_DIRECTORY = "store.restoring";

/** Strangers that are named, at most. */
const NAMED = 3;

export interface RestoreOptions {
  /** The control plane's own directory; made if need be. */
  readonly dataDir: string;
  /** The workspace that is to have the content. */
  readonly workspace: string;
  /** What the file holds. */
  readonly state: { readonly cursor: Cursor; readonly snapshot: Snapshot };
  /** What the history says of where the content came from. */
  readonly message: string;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
  /** Gives up, and leaves nothing behind. */
  readonly signal: AbortSignal;
}

/** What was made. */
export interface Restored {
  readonly directory: string;
  readonly cursor: Cursor;
  readonly entries: number;
}

/**
 * Makes a control plane's store with a history of its own: a new epoch, and a snapshot's content as revision 1. Never
 * touches a store that is there. After a crash there is no store, or the whole one.
 *
 * @throws ConfigError when there is a store already, or the directory is used for something else, or the content is none that this build accepts.
 */
export async function restoreStore(options: RestoreOptions): Promise<Restored> {
  const { dataDir, workspace, signal } = options;
  const directory = path.join(dataDir, STORE_DIRECTORY);
  await refuseExisting(directory);
  await refuseStrangers(dataDir);
  await refuseContent(options.state.snapshot, signal);
  const snapshot = await inWorkspace(options.state.snapshot, workspace);

  const unfinished = path.join(dataDir, UNFINISHED_DIRECTORY);
  await openPrivateDirectory(dataDir, isOurs);
  await removeLeftover(unfinished);
  let cursor: Cursor;
  try {
    cursor = await writeStore(unfinished, snapshot, options);
    signal.throwIfAborted();
    await proveStore(unfinished, workspace, cursor);
    signal.throwIfAborted();
    await renameNew(unfinished, directory);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
  await syncDirectory(dataDir);
  return { directory, cursor, entries: snapshot.entryCount };
}

async function refuseExisting(directory: string): Promise<void> {
  let found: readonly string[];
  try {
    found = await readdir(directory);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  if (found.length > 0) throw alreadyThere(directory);
}

/** Whether a control plane has such a name in its directory. A store that was moved away is one too. */
function isOurs(name: string): boolean {
  return (
    name === STORE_DIRECTORY ||
    /^store[.-]/.test(name) ||
    name === PROBE_FILE ||
    isTemporaryOf(PROBE_FILE, name)
  );
}

/** It is a slip of the hand: the directory would be closed to others. */
async function refuseStrangers(dataDir: string): Promise<void> {
  const strangers = await strangersIn(dataDir, isOurs);
  if (strangers.length === 0) return;
  const named = strangers
    .slice(0, NAMED)
    .map((name) => JSON.stringify(name))
    .join(", ");
  const more = strangers.length - NAMED;
  throw new ConfigError(
    "failed_precondition",
    `${dataDir} is no control plane's directory, there are other things in it: ${named}${more > 0 ? ` and ${more} more` : ""}. Give a directory of its own, which is made if need be. Nothing was changed`,
  );
}

function alreadyThere(directory: string): ConfigError {
  return new ConfigError(
    "failed_precondition",
    `there is a store in ${directory} already, and none is ever overwritten: give another --data-dir; or stop the control plane that uses it, and move that directory away. Nothing was changed`,
  );
}

async function refuseContent(
  snapshot: Snapshot,
  signal: AbortSignal,
): Promise<void> {
  const violations = await driveSlices(checkContentSlices(snapshot), {
    signal,
  });
  if (violations.length > 0)
    throw ConfigError.of("invalid_argument", violations);
}

/** The same content under a workspace's name, which the root covers. */
async function inWorkspace(
  snapshot: Snapshot,
  workspace: string,
): Promise<Snapshot> {
  if (snapshot.workspace === workspace) return snapshot;
  const renamed = Snapshot.ofBuckets(workspace, [...snapshot.buckets()]);
  await driveSlices(renamed.hashSlices());
  return renamed;
}

/** What a restore that was interrupted has left. One that is still at work holds the lock. */
async function removeLeftover(unfinished: string): Promise<void> {
  const found = await readdir(unfinished).catch(() => []);
  if (found.length > 0)
    try {
      await (await LevelStore.open({ directory: unfinished })).close();
    } catch (error) {
      if (isInUse(error))
        throw new ConfigError(
          "failed_precondition",
          `another restore is making a store in ${unfinished}: wait for it to end`,
          { cause: error },
        );
      // Too damaged to be opened: it goes like any other.
    }
  await rm(unfinished, { recursive: true, force: true });
}

async function writeStore(
  directory: string,
  snapshot: Snapshot,
  { workspace, message, nowMs, signal }: RestoreOptions,
): Promise<Cursor> {
  await using store = await LevelStore.open({ directory });
  const { cursor: empty } = await store.load(workspace);
  const changes = await driveSlices(creations(snapshot), { signal });
  // Nothing to commit: revision 0 of the new epoch says it all.
  if (changes.length === 0) return empty;
  const cursor = cursorOf(empty.epoch, 1n, snapshot.root);
  await store.commit(workspace, [
    {
      record: { cursor, timeMs: nowMs, author: "restore", message, changes },
    },
  ]);
  return cursor;
}

function* creations(snapshot: Snapshot): Slices<StoredChange[]> {
  const changes: StoredChange[] = [];
  for (const { key, value } of snapshot.entries()) {
    changes.push({ key, after: value });
    yield 1;
  }
  return changes.sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** Reads everything back from the disk, and compares it by its root. */
async function proveStore(
  directory: string,
  workspace: string,
  expected: Cursor,
): Promise<void> {
  await using store = await LevelStore.open({ directory });
  const { cursor } = await store.load(workspace);
  if (cursor.epoch !== expected.epoch || cursor.root !== expected.root)
    throw new ConfigError(
      "unavailable",
      `what was written to ${directory} came back as ${describeCursor(cursor)} and not ${describeCursor(expected)}: look at the disk`,
    );
}

/** Unlike a file, a directory only takes the place of one that is empty. */
async function renameNew(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOTEMPTY" || code === "EEXIST") throw alreadyThere(to);
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
