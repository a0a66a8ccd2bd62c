import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Level } from "level";
import { chmod, mkdir, rename } from "node:fs/promises";
import path from "node:path";
import { CursorSchema } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  HelloSchema,
  type Refusal,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { create } from "@bufbuild/protobuf";
import { describeCursor } from "../../model/cursor.ts";
import { diffSlices, Snapshot, type Entry } from "../../model/snapshot.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { driveSlices } from "../../runtime/slices.ts";
import {
  DamagedFileError,
  readStateFile,
  writeStateFile,
  type State,
} from "./last-good.ts";

/** The format this code writes, and the newest that it reads. */
const FORMAT = 1;
const META_FORMAT = "meta/format";
const META_WORKSPACE = "meta/workspace";
const META_CURSOR = "meta/cursor";
const META_REFUSALS = "meta/refusals";
const ENTRY = "entry/";
/** The first text after all that begin with ENTRY. */
const ENTRY_END = "entry0";
/** The second copy is written at most this often. */
const LAST_GOOD_MS = 60_000;
const READ_BATCH = 512;

type Database = Level<string, Uint8Array>;

export interface ReplicaStoreOptions {
  /** The data plane's own directory; made if need be. */
  readonly dataDir: string;
  readonly workspace: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a data plane starts from. */
export interface LoadedState extends State {
  /** Where it was found. */
  readonly source: "replica" | "last-good";
}

/** A data plane cannot start with its directory as it is. The message says what to do. */
export class ReplicaError extends Error {
  override readonly name = "ReplicaError";
}

/**
 * The last applied state on disk, twice on purpose: in LevelDB, where a change is one small synced batch, and in
 * last-good.hfs, which survives what LevelDB does not. What is read is proved by its root before it is believed.
 */
export class ReplicaStore implements AsyncDisposable {
  readonly #options: ReplicaStoreOptions;
  readonly #db: Database;
  /** What is in LevelDB. */
  #stored: State | undefined;
  #loaded: LoadedState | undefined;
  #refusals: readonly Refusal[];
  #lastGood: State | undefined;
  #lastGoodTimer: Timer | undefined;
  #lastGoodMs = -Infinity;
  #writingLastGood: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  private constructor(
    options: ReplicaStoreOptions,
    db: Database,
    stored: State | undefined,
    refusals: readonly Refusal[],
  ) {
    this.#options = options;
    this.#db = db;
    this.#stored = stored;
    this.#refusals = refusals;
  }

  /**
   * Opens what is there. A damaged replica is set aside as `replica.damaged-<time>`, never deleted, and the second copy
   * takes its place.
   *
   * @throws ReplicaError when another process has the directory, or it belongs to another workspace or a newer format.
   */
  static async open(options: ReplicaStoreOptions): Promise<ReplicaStore> {
    const { dataDir, logger, clock } = options;
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await chmod(dataDir, 0o700);
    const directory = path.join(dataDir, "replica");
    let db: Database;
    let found: Found;
    try {
      db = await openDatabase(directory);
      try {
        found = await readDatabase(db, options);
      } catch (error) {
        await db.close();
        throw error;
      }
    } catch (error) {
      if (error instanceof ReplicaError) throw error;
      if (isOutside(error))
        throw new ReplicaError(
          `cannot use ${directory}: ${messagesOf(error)}`,
          { cause: error },
        );
      const aside = `${directory}.damaged-${new Date(clock.now()).toISOString().replaceAll(":", "")}`;
      logger.error("replica.damaged", { err: error, moved_to: aside });
      await rename(directory, aside);
      db = await openDatabase(directory);
      found = { state: undefined, refusals: [] };
    }
    const store = new ReplicaStore(options, db, found.state, found.refusals);
    try {
      await store.#choose();
    } catch (error) {
      await db.close();
      throw error;
    }
    return store;
  }

  /** What to start from; undefined when there is nothing. */
  get loaded(): LoadedState | undefined {
    return this.#loaded;
  }

  /** What this node refused, as last remembered. */
  get refusals(): readonly Refusal[] {
    return this.#refusals;
  }

  /** Makes a state durable: all of it, or nothing of it. Rejects with what the disk said. */
  async persist(state: State): Promise<void> {
    const before =
      this.#stored?.snapshot ?? Snapshot.empty(this.#options.workspace);
    const changes = await driveSlices(diffSlices(before, state.snapshot));
    const batch = this.#db.batch();
    try {
      const fill = function* () {
        let handled = 0;
        for (const key of changes.deletes) {
          batch.del(ENTRY + key);
          if (++handled % READ_BATCH === 0) yield READ_BATCH;
        }
        for (const { key, value } of changes.puts) {
          batch.put(ENTRY + key, value);
          if (++handled % READ_BATCH === 0) yield READ_BATCH;
        }
        return undefined;
      };
      await driveSlices(fill());
      batch.put(META_FORMAT, text(String(FORMAT)));
      batch.put(META_WORKSPACE, text(this.#options.workspace));
      batch.put(META_CURSOR, toBinary(CursorSchema, state.cursor));
      await batch.write({ sync: true });
    } catch (error) {
      await batch.close();
      throw error;
    }
    this.#stored = state;
    this.#scheduleLastGood(state);
  }

  /** Keeps what this node refused over restarts. */
  async remember(refusals: readonly Refusal[]): Promise<void> {
    this.#refusals = refusals;
    await this.#db.put(
      META_REFUSALS,
      toBinary(HelloSchema, create(HelloSchema, { refused: [...refusals] })),
      { sync: true },
    );
  }

  /** Writes the second copy if it is not the newest, and closes. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#lastGoodTimer?.cancel();
    this.#writeLastGood();
    await this.#writingLastGood;
    await this.#db.close();
  }

  async #choose(): Promise<void> {
    const stored = this.#stored;
    if (stored !== undefined) {
      this.#loaded = { ...stored, source: "replica" };
      // The process may have died before the second copy was written.
      this.#scheduleLastGood(stored);
      return;
    }
    const state = await this.#readLastGood();
    if (state === undefined) return;
    this.#loaded = { ...state, source: "last-good" };
    await this.persist(state);
  }

  async #readLastGood(): Promise<State | undefined> {
    const { logger, workspace } = this.#options;
    try {
      const state = await readStateFile(this.#lastGoodFile);
      if (state === undefined) return undefined;
      if (state.snapshot.workspace !== workspace)
        throw new DamagedFileError(
          `is of workspace "${state.snapshot.workspace}", this data plane is of "${workspace}"`,
        );
      logger.warn("replica.from_last_good", {
        revision: state.cursor.revision,
        root: state.cursor.root,
      });
      return state;
    } catch (error) {
      logger.error("replica.last_good_unusable", {
        file: this.#lastGoodFile,
        err: error,
      });
      return undefined;
    }
  }

  get #lastGoodFile(): string {
    return path.join(this.#options.dataDir, "last-good.hfs");
  }

  #scheduleLastGood(state: State): void {
    this.#lastGood = state;
    if (this.#lastGoodTimer !== undefined || this.#closing !== undefined)
      return;
    const { clock } = this.#options;
    const waitMs = Math.max(
      0,
      this.#lastGoodMs + LAST_GOOD_MS - clock.monotonic(),
    );
    this.#lastGoodTimer = clock.setTimer(waitMs, () => {
      this.#lastGoodTimer = undefined;
      this.#writeLastGood();
    });
  }

  #writeLastGood(): void {
    const state = this.#lastGood;
    if (state === undefined) return;
    this.#lastGood = undefined;
    const { clock, logger } = this.#options;
    this.#lastGoodMs = clock.monotonic();
    this.#writingLastGood = this.#writingLastGood
      .then(() => writeStateFile(this.#lastGoodFile, state, clock.now()))
      .catch((error: unknown) => {
        // The first copy is whole; this one is tried again with the next change.
        logger.warn("replica.last_good_not_written", { err: error });
      });
  }
}

interface Found {
  readonly state: State | undefined;
  readonly refusals: readonly Refusal[];
}

async function openDatabase(directory: string): Promise<Database> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const db: Database = new Level(directory, { valueEncoding: "view" });
  try {
    await db.open();
  } catch (error) {
    if (causeCode(error) === "LEVEL_LOCKED")
      throw new ReplicaError(
        `${directory} is in use by another process: stop it, or give this data plane its own --data-dir`,
        { cause: error },
      );
    throw error;
  }
  return db;
}

async function readDatabase(
  db: Database,
  options: ReplicaStoreOptions,
): Promise<Found> {
  const [format, workspace, cursorBytes, refusals] = await db.getMany([
    META_FORMAT,
    META_WORKSPACE,
    META_CURSOR,
    META_REFUSALS,
  ]);
  const formatNumber = format === undefined ? FORMAT : Number(string(format));
  if (formatNumber > FORMAT)
    throw new ReplicaError(
      `the replica in ${options.dataDir} has format ${formatNumber}, this build reads up to ${FORMAT}: use the newer build, or an empty --data-dir`,
    );
  if (workspace !== undefined && string(workspace) !== options.workspace)
    throw new ReplicaError(
      `the replica in ${options.dataDir} is of workspace "${string(workspace)}", asked for is "${options.workspace}": use another --data-dir`,
    );
  const refused =
    refusals === undefined ? [] : fromBinary(HelloSchema, refusals).refused;
  if (cursorBytes === undefined) return { state: undefined, refusals: refused };
  const cursor = fromBinary(CursorSchema, cursorBytes);

  const puts: Entry[] = [];
  const iterator = db.iterator({ gte: ENTRY, lt: ENTRY_END });
  try {
    for (;;) {
      const batch = await iterator.nextv(READ_BATCH);
      if (batch.length === 0) break;
      for (const [key, value] of batch)
        puts.push({ key: key.slice(ENTRY.length), value });
    }
  } finally {
    await iterator.close();
  }
  const snapshot = await driveSlices(
    Snapshot.empty(options.workspace).applySlices({ puts, deletes: [] }),
  );
  const root = await driveSlices(snapshot.hashSlices());
  if (root !== cursor.root)
    throw new Error(
      `the replica's content has root ${root}, it should be ${describeCursor(cursor)}`,
    );
  return { state: { cursor, snapshot }, refusals: refused };
}

/** Whether the disk or its rights are in the way, and not what is in the files. */
function isOutside(error: unknown): boolean {
  return /permission denied|read-only file system|no space left|too many open files/i.test(
    messagesOf(error),
  );
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
