import { randomUUID } from "node:crypto";
import { stat } from "node:fs/promises";
import path from "node:path";
import { Gauge, type Registry } from "prom-client";
import type { Refusal } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../../model/cursor.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { openPrivateDirectory } from "../../runtime/private-directory.ts";
import { LIMITS } from "../../sync/limits.ts";
import { chooseStart, type LoadedState, type Start } from "./choose-start.ts";
import { CrashGuard } from "./crash-guard.ts";
import type { Database } from "./format.ts";
import type { InverseHead } from "./inverse.ts";
import type { State } from "./last-good.ts";
import { isOutside, messagesOf } from "./outside.ts";
import { openReadOnlyView } from "./read-only-view.ts";
import {
  DiskError,
  openReplicaDatabase,
  readDatabase,
  ReplicaError,
  type Contents,
  type DatabaseOptions,
  type Found,
} from "./replica-database.ts";
import {
  writeConfirmed,
  writeRefusals,
  writeState,
  writeTrials,
  type Beside,
} from "./replica-writes.ts";
import { SecondCopy } from "./second-copy.ts";

export interface ReplicaStoreOptions {
  /** The data plane's own directory; made if need be. */
  readonly dataDir: string;
  readonly workspace: string;
  /** Build and features of the process: refusals of another one are forgotten. Default: nobody in particular. */
  readonly refuser?: string;
  /** Random id of the process. Default: a new one. */
  readonly boot?: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: nobody counts. */
  readonly metrics?: Registry;
}

/** Why nothing can be stored at present. */
export interface Trouble {
  readonly reason: string;
  /** By the monotonic clock. */
  readonly sinceMs: number;
}

/**
 * The last applied state on disk, twice on purpose: in LevelDB, where a change is one small synced batch, and in
 * last-good.hfs, which survives what LevelDB does not. What is read is proved by its root before it is believed.
 *
 * A disk that is full or may not be written keeps nobody from starting: what can be read is loaded, what cannot be
 * stored is rejected, and the database is tried again until it takes writes.
 */
export class ReplicaStore implements AsyncDisposable {
  readonly #options: ReplicaStoreOptions;
  readonly #copy: SecondCopy;
  /** Undefined while it cannot be opened. */
  #db: Database | undefined;
  /** A write has failed. LevelDB's log may end in half a record then, and what comes after it is lost at the next start. */
  #suspect = false;
  #trouble: Trouble | undefined;
  #failures = 0;
  #repairTimer: Timer | undefined;
  /** Writes, one after the other. */
  #writing: Promise<unknown> = Promise.resolve();
  /** What is in LevelDB. */
  #stored: State | undefined;
  #inverse: InverseHead | undefined;
  /** What is to be in LevelDB: what was loaded, or stored last. */
  #wanted: State | undefined;
  #loaded: LoadedState | undefined;
  #refusals: readonly Refusal[] = [];
  #confirmedMs: number | undefined;
  #guard: CrashGuard | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: ReplicaStoreOptions) {
    this.#options = options;
    this.#copy = new SecondCopy(options);
    const { metrics } = options;
    if (metrics === undefined) return;
    const isWritable = (): boolean => this.#trouble === undefined;
    new Gauge({
      name: "holdfast_dp_replica_writable",
      help: "Whether what is applied can be stored. While it cannot, new states are refused as LOCAL_IO.",
      registers: [metrics],
      collect() {
        this.set(isWritable() ? 1 : 0);
      },
    });
  }

  /**
   * Opens what is there. A damaged replica is set aside as `replica.damaged-<time>`, of which the newest three are kept,
   * and the second copy takes its place.
   *
   * @throws ReplicaError when another process has the directory, it belongs to another workspace or a newer format, or
   * nothing was ever stored in it and nothing can be.
   */
  static async open(options: ReplicaStoreOptions): Promise<ReplicaStore> {
    await openDataDir(options);
    const store = new ReplicaStore(options);
    let found: Found;
    try {
      found = await openReplicaDatabase(databaseOf(options));
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      await store.#startUnwritable(error);
      return store;
    }
    try {
      store.#take(found);
      await store.#start(found.db, found);
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

  /** When a control plane last confirmed what was served, as last told; by the wall clock. */
  get confirmedMs(): number | undefined {
    return this.#confirmedMs;
  }

  /** Why nothing can be stored; undefined when it can, as far as is known. */
  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  /** Must hear of every state before it is prepared, and when it is served. */
  get guard(): CrashGuard {
    if (this.#guard === undefined)
      throw new TypeError("the replica is not open yet");
    return this.#guard;
  }

  /**
   * Makes a state durable: all of it, or nothing of it. Rejects with what the disk said. `onProgress` hears from time to
   * time how many of how many changes are on their way.
   */
  async persist(
    state: State,
    onProgress?: (done: number, total: number) => void,
  ): Promise<void> {
    await this.#write((db) => this.#store(db, state, { onProgress }));
    this.#copy.schedule(state);
  }

  /** Keeps what this node refused over restarts. */
  async remember(refusals: readonly Refusal[]): Promise<void> {
    this.#refusals = refusals;
    await this.#write((db) => writeRefusals(db, this.#refuser, refusals));
  }

  /** Keeps, as far as the disk lets it, when a control plane confirmed what is served. */
  async confirmed(atMs: number): Promise<void> {
    this.#confirmedMs = atMs;
    await this.#writeIfSound((db) => writeConfirmed(db, atMs));
  }

  /** Writes the second copy if it is not the newest, and closes. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  get #refuser(): string {
    return this.#options.refuser ?? "";
  }

  async #close(): Promise<void> {
    this.#repairTimer?.cancel();
    await this.#guard?.end();
    await this.#writing;
    await this.#copy.close();
    await this.#db?.close();
  }

  #take({ db, state, inverse }: Found): void {
    this.#db = db;
    this.#stored = state;
    this.#inverse = inverse;
    this.#suspect = false;
  }

  /** Begins with what was read, whether or not it can be written. */
  async #start(
    db: Database | undefined,
    contents: (Contents & Pick<Found, "lost">) | undefined,
  ): Promise<void> {
    const { logger, clock, boot } = this.#options;
    const start = await chooseStart({
      db,
      contents,
      lost: contents?.lost,
      copy: this.#copy,
      logger,
    });
    this.#loaded = start.loaded;
    this.#wanted = start.loaded;
    this.#refusals = start.refusals;
    this.#confirmedMs = contents?.confirmedMs;
    this.#guard = new CrashGuard({
      boot: boot ?? randomUUID(),
      clock,
      trials: start.trials,
      store: (trials) =>
        this.#writeIfSound((to) => writeTrials(to, this.#refuser, trials)),
    });
    if (this.#db === undefined) return;
    // What fails here is tried again; what was loaded can be served meanwhile.
    await this.#write((to) => this.#keep(to, start)).catch(() => undefined);
  }

  /** Has what was decided at the start on the disk, if it is not. */
  async #keep(db: Database, start: Start): Promise<void> {
    const { loaded, refusals, trials } = start;
    const beside = start.quarantines ? { refusals, trials } : undefined;
    if (
      loaded !== undefined &&
      !cursorsEqual(loaded.cursor, this.#stored?.cursor)
    ) {
      await this.#store(db, loaded, {
        ...beside,
        undoable: !start.quarantines,
      });
      this.#copy.schedule(loaded);
    } else if (beside !== undefined)
      await writeRefusals(db, this.#refuser, refusals, trials);
  }

  async #startUnwritable(failure: DiskError): Promise<void> {
    const { dataDir, logger } = this.#options;
    const options = databaseOf(this.#options);
    let contents: Contents | undefined;
    try {
      await using view = await openReadOnlyView(options.directory);
      contents = await readDatabase(view.db, options);
      await this.#start(view.db, contents);
    } catch (error) {
      if (error instanceof ReplicaError) throw error;
      logger.warn("replica.unreadable", {
        directory: options.directory,
        err: error,
      });
      await this.#start(undefined, undefined);
    }
    if (contents === undefined && this.#loaded === undefined) {
      const isOurs = await stat(options.directory).catch(() => undefined);
      const hasCopy = await stat(path.join(dataDir, "last-good.hfs")).catch(
        () => undefined,
      );
      // Somebody's mistake, and not a disk that filled up: nothing is lost by saying so.
      if (isOurs === undefined && hasCopy === undefined)
        throw new ReplicaError(failure.message, { cause: failure });
    }
    this.#stored = contents?.state;
    this.#failed(failure);
  }

  async #store(db: Database, state: State, more: Beside = {}): Promise<void> {
    this.#inverse = await writeState(
      db,
      {
        workspace: this.#options.workspace,
        refuser: this.#refuser,
        before: this.#stored,
        inverse: this.#inverse,
      },
      state,
      more,
    );
    this.#stored = state;
    this.#wanted = state;
  }

  /** Runs a write after those before it, on a database that is known to take it. */
  #write(run: (db: Database) => Promise<void>): Promise<void> {
    const written = this.#writing.then(async () => {
      try {
        await run(await this.#soundDatabase());
      } catch (error) {
        this.#failed(error);
        throw error;
      }
    });
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** Runs a write that nobody waits for, unless the database is in trouble. */
  async #writeIfSound(run: (db: Database) => Promise<void>): Promise<void> {
    if (this.#isUnsound) return;
    await this.#write(run).catch(() => undefined);
  }

  get #isUnsound(): boolean {
    return this.#db === undefined || this.#suspect;
  }

  async #soundDatabase(): Promise<Database> {
    const { logger } = this.#options;
    if (this.#db !== undefined && !this.#suspect) return this.#db;
    // Only a database that is opened again knows what of a failed write is there.
    await this.#db?.close();
    this.#db = undefined;
    const found = await openReplicaDatabase(databaseOf(this.#options));
    this.#take(found);
    const wanted = this.#wanted;
    // What was written last may be there although that was said to have failed; it is not taken back.
    const isThere =
      wanted === undefined ||
      cursorsEqual(found.state?.cursor, wanted.cursor) ||
      (found.state?.cursor.epoch === wanted.cursor.epoch &&
        found.state.cursor.revision > wanted.cursor.revision);
    if (isThere) await writeRefusals(found.db, this.#refuser, this.#refusals);
    else await this.#store(found.db, wanted, { refusals: this.#refusals });
    logger.info("replica.reopened", {
      revision: this.#stored?.cursor.revision,
      holds: describeCursor(this.#stored?.cursor),
    });
    this.#trouble = undefined;
    this.#failures = 0;
    return found.db;
  }

  /** A write has failed: says so when that begins and while it lasts, and has it tried again. */
  #failed(error: unknown): void {
    const { clock, logger } = this.#options;
    this.#suspect = true;
    this.#trouble = {
      reason: messagesOf(error),
      sinceMs: this.#trouble?.sinceMs ?? clock.monotonic(),
    };
    const delayMs = Math.min(
      LIMITS.storeRetryMinMs * 2 ** this.#failures,
      LIMITS.storeRetryMaxMs,
    );
    const line = {
      err: error,
      serving: describeCursor(this.#wanted?.cursor),
      consequence:
        "what is served goes on being served; new states are refused as LOCAL_IO until the disk takes writes",
      advice: isOutside(error)
        ? "make room on the disk, or the data directory writable"
        : "look at the disk and the system's log",
      retry_ms: delayMs,
    };
    if (this.#failures === 0) logger.error("replica.not_writable", line);
    else if (this.#failures % 10 === 0)
      logger.error("replica.still_not_writable", line);
    this.#failures++;
    if (this.#closing !== undefined || this.#repairTimer !== undefined) return;
    this.#repairTimer = clock.setTimer(delayMs, () => {
      this.#repairTimer = undefined;
      if (this.#isUnsound)
        // It has opened the database by then: nothing else is to be done.
        void this.#write(() => Promise.resolve()).catch(() => undefined);
    });
  }
}

async function openDataDir({
  dataDir,
  logger,
}: ReplicaStoreOptions): Promise<void> {
  try {
    await openPrivateDirectory(dataDir);
  } catch (error) {
    const found = await stat(dataDir).catch(() => undefined);
    // It may hold what can be read.
    if (found?.isDirectory() !== true || !isOutside(error))
      throw new ReplicaError(
        `cannot use ${dataDir}: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    logger.warn("replica.modes_not_set", { directory: dataDir, err: error });
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
