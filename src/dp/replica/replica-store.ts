import path from "node:path";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Refusal } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../../model/cursor.ts";
import { diffSlices, Snapshot } from "../../model/snapshot.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { openPrivateDirectory } from "../../runtime/private-directory.ts";
import { driveSlices } from "../../runtime/slices.ts";
import {
  DamagedFileError,
  readStateCursor,
  readStateFile,
  writeStateFile,
  type State,
} from "./last-good.ts";
import {
  openReplicaDatabase,
  ReplicaError,
  writeRefusals,
  writeState,
  type Database,
  type DatabaseOptions,
  type Found,
} from "./replica-database.ts";

/** The second copy is written at most this often. */
const LAST_GOOD_MS = 60_000;

export interface ReplicaStoreOptions {
  /** The data plane's own directory; made if need be. */
  readonly dataDir: string;
  readonly workspace: string;
  /** Build and features of the process: refusals of another one are forgotten. Default: nobody in particular. */
  readonly refuser?: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a data plane starts from. */
export interface LoadedState extends State {
  /** Where it was found. */
  readonly source: "replica" | "last-good";
}

/**
 * The last applied state on disk, twice on purpose: in LevelDB, where a change is one small synced batch, and in
 * last-good.hfs, which survives what LevelDB does not. What is read is proved by its root before it is believed.
 */
export class ReplicaStore implements AsyncDisposable {
  readonly #options: ReplicaStoreOptions;
  #db: Database;
  /** A write has failed. LevelDB's log may end in half a record then, and what comes after it is lost at the next start. */
  #suspect = false;
  /** Writes, one after the other. */
  #writing: Promise<unknown> = Promise.resolve();
  /** What is in LevelDB. */
  #stored: State | undefined;
  #loaded: LoadedState | undefined;
  #refusals: readonly Refusal[];
  #lastGood: State | undefined;
  #lastGoodTimer: Timer | undefined;
  #lastGoodMs = -Infinity;
  #writingLastGood: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  private constructor(options: ReplicaStoreOptions, found: Found) {
    this.#options = options;
    this.#db = found.db;
    this.#stored = found.state;
    this.#refusals = found.refusals;
  }

  /**
   * Opens what is there. A damaged replica is set aside as `replica.damaged-<time>`, never deleted, and the second copy
   * takes its place.
   *
   * @throws ReplicaError when another process has the directory, or it belongs to another workspace or a newer format.
   */
  static async open(options: ReplicaStoreOptions): Promise<ReplicaStore> {
    const { dataDir } = options;
    try {
      await openPrivateDirectory(dataDir);
    } catch (error) {
      throw new ReplicaError(
        `cannot use ${dataDir}: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
    const found = await openReplicaDatabase(databaseOf(options));
    const store = new ReplicaStore(options, found);
    try {
      await store.#choose();
    } catch (error) {
      await found.db.close();
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
    const { workspace } = this.#options;
    await this.#write(async () => {
      const before = this.#stored?.snapshot ?? Snapshot.empty(workspace);
      const changes = await driveSlices(diffSlices(before, state.snapshot));
      await writeState(this.#db, workspace, changes, state.cursor);
      this.#stored = state;
    });
    this.#scheduleLastGood(state);
  }

  /** Keeps what this node refused over restarts. */
  async remember(refusals: readonly Refusal[]): Promise<void> {
    this.#refusals = refusals;
    await this.#write(() =>
      writeRefusals(this.#db, this.#options.refuser ?? "", refusals),
    );
  }

  /** Writes the second copy if it is not the newest, and closes. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#writing;
    this.#lastGoodTimer?.cancel();
    this.#writeLastGood();
    await this.#writingLastGood;
    await this.#db.close();
  }

  /** Runs a write after those before it, on a database that is known to take it. */
  #write(run: () => Promise<void>): Promise<void> {
    const written = this.#writing.then(async () => {
      if (this.#suspect) await this.#reopen();
      try {
        await run();
      } catch (error) {
        this.#suspect = true;
        throw error;
      }
    });
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** Only a database that is opened again knows what of a failed write is there. */
  async #reopen(): Promise<void> {
    await this.#db.close();
    const found = await openReplicaDatabase(databaseOf(this.#options));
    this.#db = found.db;
    this.#stored = found.state;
    this.#suspect = false;
    this.#options.logger.info("replica.reopened", {
      revision: found.state?.cursor.revision,
    });
  }

  async #choose(): Promise<void> {
    const stored = this.#stored;
    if (stored !== undefined) {
      const copy = await this.#copiedCursor();
      if (!this.#isBehind(stored, copy)) {
        this.#loaded = { ...stored, source: "replica" };
        // The process may have died before the second copy was written.
        if (!cursorsEqual(copy, stored.cursor)) this.#scheduleLastGood(stored);
        return;
      }
    }
    const state = await this.#readLastGood();
    if (state === undefined) {
      this.#loaded = stored && { ...stored, source: "replica" };
      return;
    }
    this.#loaded = { ...state, source: "last-good" };
    await this.persist(state);
  }

  /** Which state the second copy says to be; undefined when there is none, or none of use. */
  async #copiedCursor(): Promise<Cursor | undefined> {
    try {
      return await readStateCursor(this.#lastGoodFile);
    } catch (error) {
      this.#options.logger.warn("replica.last_good_unusable", {
        file: this.#lastGoodFile,
        err: error,
      });
      return undefined;
    }
  }

  /** Whether the second copy is newer, as it never is unless LevelDB has lost what it had said to be durable. */
  #isBehind({ cursor }: State, copy: Cursor | undefined): boolean {
    if (copy?.epoch !== cursor.epoch || copy.revision <= cursor.revision)
      return false;
    this.#options.logger.error("replica.behind", {
      replica: describeCursor(cursor),
      last_good: describeCursor(copy),
    });
    return true;
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

function databaseOf(options: ReplicaStoreOptions): DatabaseOptions {
  return {
    directory: path.join(options.dataDir, "replica"),
    workspace: options.workspace,
    logger: options.logger,
    refuser: options.refuser ?? "",
    now: () => options.clock.now(),
  };
}
