import { randomUUID } from "node:crypto";
import { Gauge } from "prom-client";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Refusal } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../../model/cursor.ts";
import { LIMITS } from "../../sync/limits.ts";
import {
  barredRoots,
  chooseStart,
  insteadOf,
  refusalOf,
  type LoadedState,
  type Start,
} from "./choose-start.ts";
import { CrashGuard } from "./crash-guard.ts";
import { DiskTrouble, type Trouble } from "./disk-trouble.ts";
import type { Database } from "./format.ts";
import type { InverseHead } from "./inverse.ts";
import type { State } from "./last-good.ts";
import { openReadOnlyView } from "./read-only-view.ts";
import {
  DiskError,
  openReplicaDatabase,
  readDatabase,
  ReplicaError,
  type Contents,
  type Found,
} from "./replica-database.ts";
import {
  databaseOf,
  holdsAnything,
  openDataDir,
  type ReplicaStoreOptions,
} from "./replica-options.ts";
import {
  writeConfirmed,
  writeRefusals,
  writeState,
  writeTrials,
  type Beside,
} from "./replica-writes.ts";
import { SecondCopy } from "./second-copy.ts";

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
  readonly #trouble: DiskTrouble;
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
    this.#trouble = new DiskTrouble({
      ...options,
      retry: () => {
        this.#repair();
      },
    });
    const { metrics } = options;
    if (metrics === undefined) return;
    const isWritable = (): boolean => this.trouble === undefined;
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
    return this.#trouble.current;
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

  /**
   * Bars a state that workers crash with, and goes back to the one before as far as the disk lets it. Returns what is to
   * be served in its place, if anything is. Never rejects.
   */
  async quarantine(cursor: Cursor): Promise<LoadedState | undefined> {
    const { logger } = this.#options;
    const refusals = [
      ...this.#refusals.filter((known) => known.cursor?.root !== cursor.root),
      refusalOf(cursor, "workers"),
    ].slice(-LIMITS.refusals);
    this.#refusals = refusals;
    let before: LoadedState | undefined;
    await this.#write(async (db) => {
      const stored = this.#stored;
      if (stored?.cursor.root === cursor.root)
        before = await insteadOf(
          stored,
          {
            db,
            contents: { inverse: this.#inverse },
            copy: this.#copy,
            logger,
          },
          barredRoots(refusals),
        );
      this.#wanted = before;
      if (before === undefined)
        await writeRefusals(db, this.#refuser, refusals, []);
      else
        await this.#store(db, before, {
          refusals,
          trials: [],
          undoable: false,
        });
    }).catch(() => undefined);
    if (before !== undefined) this.#copy.schedule(before);
    return before;
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
    this.#trouble.stop();
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
    const { logger } = this.#options;
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
    // Somebody's mistake, and not a disk that filled up: nothing is lost by saying so.
    if (!(await holdsAnything(this.#options.dataDir)))
      throw new ReplicaError(failure.message, { cause: failure });
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
    this.#trouble.over();
    return found.db;
  }

  #failed(error: unknown): void {
    this.#suspect = true;
    if (this.#closing === undefined)
      this.#trouble.failed(error, this.#wanted?.cursor);
  }

  /** Opens the database again if need be; nothing else is to be done. */
  #repair(): void {
    if (this.#isUnsound)
      void this.#write(() => Promise.resolve()).catch(() => undefined);
  }
}
