import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import path from "node:path";
import { Snapshot } from "../../model/snapshot.ts";
import { ConfigError } from "../../model/violation.ts";
import { writeFileDurably } from "../../runtime/durable-file.ts";
import { silentLogger, type Logger } from "../../runtime/logger.ts";
import { nextHead, writeCommits } from "./level-commit.ts";
import {
  getValue,
  openDatabase,
  openProvenDatabase,
  type LevelDatabase,
} from "./level-database.ts";
import {
  adoptedHead,
  firstCommits,
  firstHead,
  writeAdoption,
} from "./level-epoch.ts";
import { damaged, storeError, type StoreAction } from "./level-errors.ts";
import { checkFormat } from "./level-format.ts";
import { encodeHead } from "./level-head.ts";
import { readHolds, refuseForgotten, writeHolds } from "./level-holds.ts";
import {
  oldestRecord,
  stillSuperfluous,
  superfluousRecords,
} from "./level-compact.ts";
import { decodeAnswer, expiredAnswers } from "./level-idempotency.ts";
import { KnownTimes } from "./known-times.ts";
import { LevelKeys } from "./level-keys.ts";
import {
  DamagedError,
  readHead,
  readRecord,
  readWorkspace,
} from "./level-load.ts";
import {
  clearRemoved,
  readRemoved,
  readWorkspaces,
  reclaimSome,
  writeRemoval,
} from "./level-workspaces.ts";
import { PROBE_FILE } from "../control-plane-files.ts";
import { readHistory, readNodes, readTimes, writeNodes } from "./level-read.ts";
import {
  isDatabaseFile,
  openPrivateDirectory,
} from "../../runtime/private-directory.ts";
import type {
  Commit,
  EntryTimes,
  FirstRevision,
  HoldRecord,
  IdempotentAnswer,
  LoadedWorkspace,
  NodeRecord,
  RevisionRecord,
  Store,
  StoredHead,
  Superfluous,
} from "./store.ts";

/** Old idempotency answers are looked for this often at most. */
const PRUNE_INTERVAL_MS = 60_000;

/**
 * LevelDB maps the files that it reads from and keeps them so, in memory that counts as the process's own. What was read
 * whole is not needed there any more: from this size on the database is opened again after that.
 */
const MAPPED_BYTES = 16 << 20;

/** Written to see whether the disk takes writes again: as much as opening may write, two write buffers of LevelDB. */
const PROBE_BYTES = 8 << 20;

export interface LevelStoreOptions {
  /** Where the database lies. Created when it is not there, readable by its owner only. */
  readonly directory: string;
  /** Hears of failures and of what was done about them. Default: nobody does. */
  readonly logger?: Logger;
  /** Random bytes, for epochs. Default: the system's. */
  readonly random?: (bytes: number) => Uint8Array;
}

/** A store in one LevelDB database, for one process. */
export class LevelStore implements Store {
  /** Where the database lies. */
  readonly directory: string;
  readonly #random: (bytes: number) => Uint8Array;
  readonly #logger: Logger;
  #database: LevelDatabase;
  /** The heads as they are on disk, of the workspaces known so far. */
  readonly #heads = new Map<string, StoredHead>();
  /**
   * Whether a write failed since the database was opened. LevelDB's log may then end in half a record, and what comes
   * after that would be lost at the next start: only opening it again makes it whole.
   */
  #suspect = false;
  /** The last write: one at a time, so that opening again meets no other. */
  #writing: Promise<unknown> = Promise.resolve();
  /** By workspace: when old answers were last looked for. */
  readonly #prunedMs = new Map<string, number>();
  /** No record is older, by workspace: what was removed from a database takes time to look past. */
  readonly #floors = new Map<string, bigint>();
  readonly #times = new KnownTimes();
  #closing: Promise<void> | undefined;

  private constructor(database: LevelDatabase, options: LevelStoreOptions) {
    this.directory = options.directory;
    this.#database = database;
    this.#random = options.random ?? ((bytes) => randomBytes(bytes));
    this.#logger = options.logger ?? silentLogger;
  }

  /** Opens the store in a directory, or creates it. */
  static async open(options: LevelStoreOptions): Promise<LevelStore> {
    const { directory } = options;
    let database: LevelDatabase | undefined;
    try {
      await openPrivateDirectory(directory, isDatabaseFile);
      database = await openProvenDatabase(directory);
      await checkFormat(database, directory);
    } catch (error) {
      await database?.close();
      throw storeError(error, "open", directory);
    }
    return new LevelStore(database, options);
  }

  load(workspace: string): Promise<LoadedWorkspace> {
    return this.#serially(async () => {
      await this.#reopen();
      return this.#attempt("read", async () => {
        const keys = new LevelKeys(workspace);
        const head = await readHead(this.#database, keys);
        if (head === undefined) return this.#create(workspace, keys);
        const loaded = await readWorkspace(
          this.#database,
          keys,
          workspace,
          head,
        );
        this.#heads.set(workspace, head);
        if (loaded.snapshot.byteCount >= MAPPED_BYTES) await this.#openAgain();
        return loaded;
      });
    });
  }

  workspaces(): Promise<readonly string[]> {
    return this.#serially(async () => {
      await this.#reopen();
      return this.#attempt("read", () => readWorkspaces(this.#database));
    });
  }

  removed(): Promise<readonly string[]> {
    return this.#attempt("read", () => readRemoved(this.#database));
  }

  create(workspace: string, first?: FirstRevision): Promise<StoredHead> {
    return this.#serially(async () => {
      await this.#reopen();
      const keys = new LevelKeys(workspace);
      const there = await this.#attempt("read", () =>
        readHead(this.#database, keys),
      );
      if (there !== undefined)
        throw new ConfigError(
          "already_exists",
          `there is a workspace "${workspace}" already`,
        );
      await this.#write(() => clearRemoved(this.#database, workspace));
      const head = firstHead(this.#newEpoch(), Snapshot.empty(workspace).root);
      const commits = firstCommits(head, first);
      const next = nextHead(head, commits);
      await this.#write(() =>
        commits.length === 0
          ? this.#database.put(keys.head, encodeHead(next), { sync: true })
          : writeCommits(this.#database, keys, commits, next, {
              known: this.#times,
            }),
      );
      this.#heads.set(workspace, next);
      return next;
    });
  }

  remove(workspace: string): Promise<void> {
    return this.#serially(async () => {
      await this.#reopen();
      await this.#write(() => writeRemoval(this.#database, workspace));
      this.#heads.delete(workspace);
      this.#times.clear();
      this.#floors.delete(workspace);
      this.#prunedMs.delete(workspace);
    });
  }

  async reclaim(workspace: string): Promise<void> {
    // A step at a time, so that others write in between.
    for (let at: string | undefined = ""; at !== undefined;) {
      const after: string = at;
      at = await this.#serially(async () => {
        await this.#reopen();
        let next: string | undefined;
        await this.#write(async () => {
          next = await reclaimSome(this.#database, workspace, after);
        });
        return next;
      });
    }
  }

  commit(workspace: string, commits: readonly Commit[]): Promise<void> {
    if (commits.length === 0) return Promise.resolve();
    return this.#serially(() => this.#commit(workspace, commits));
  }

  head(workspace: string): Promise<StoredHead> {
    return this.#serially(async () => {
      await this.#reopen();
      return this.#head(workspace);
    });
  }

  adopt(
    workspace: string,
    { from }: { readonly from: string },
  ): Promise<StoredHead> {
    return this.#serially(async () => {
      await this.#reopen();
      const head = await this.#head(workspace);
      const next = adoptedHead(head, from, this.#newEpoch());
      await this.#write(() =>
        writeAdoption(this.#database, new LevelKeys(workspace), next),
      );
      this.#heads.set(workspace, next);
      return next;
    });
  }

  history(
    workspace: string,
    options: { readonly before?: bigint; readonly limit: number },
  ): Promise<readonly RevisionRecord[]> {
    return this.#attempt("read", () =>
      readHistory(this.#database, new LevelKeys(workspace), options),
    );
  }

  record(
    workspace: string,
    revision: bigint,
  ): Promise<RevisionRecord | undefined> {
    return this.#attempt("read", async () => {
      const key = new LevelKeys(workspace).log(revision);
      const value = await getValue(this.#database, key);
      return value === undefined ? undefined : readRecord(value);
    });
  }

  async *records(
    workspace: string,
    from: bigint,
    to: bigint,
  ): AsyncGenerator<RevisionRecord, void, undefined> {
    const keys = new LevelKeys(workspace);
    // After a failed commit this is what says whether it is there, and only a database opened again knows.
    if (this.#suspect) await this.#serially(() => this.#reopen());
    try {
      const range = { gte: keys.log(from), lte: keys.log(to) };
      for await (const [, value] of this.#database.iterator(range))
        yield await readRecord(value);
    } catch (error) {
      throw this.#translate(error, "read");
    }
  }

  oldest(workspace: string): Promise<bigint | undefined> {
    return this.#attempt("read", async () => {
      const from = this.#floors.get(workspace) ?? 0n;
      const keys = new LevelKeys(workspace);
      const oldest = await oldestRecord(this.#database, keys, from);
      if (oldest !== undefined) this.#floors.set(workspace, oldest);
      return oldest;
    });
  }

  async compact(workspace: string, superfluous: Superfluous): Promise<number> {
    const from = await this.oldest(workspace);
    if (from === undefined) return 0;
    const keys = new LevelKeys(workspace);
    const { cursor } = await this.head(workspace);
    // Read before its turn comes: only the removal makes others wait.
    const old = await this.#attempt("read", () =>
      superfluousRecords(this.#database, keys, superfluous, {
        from,
        head: cursor.revision,
      }),
    );
    if (old.length === 0) return 0;
    return this.#serially(async () => {
      await this.#reopen();
      const going = stillSuperfluous(old, keys, superfluous);
      if (going.length > 0)
        await this.#write(() =>
          this.#database.batch(going.map((key) => ({ type: "del", key }))),
        );
      return going.length;
    });
  }

  times(
    workspace: string,
    keys: readonly string[],
  ): Promise<readonly (EntryTimes | undefined)[]> {
    if (keys.length === 0) return Promise.resolve([]);
    const own = new LevelKeys(workspace);
    const known = keys.map((key) => this.#times.get(own.times(key)));
    if (!known.includes(undefined)) return Promise.resolve(known);
    return this.#attempt("read", () => readTimes(this.#database, own, keys));
  }

  idempotent(
    workspace: string,
    key: string,
  ): Promise<IdempotentAnswer | undefined> {
    return this.#attempt("read", async () =>
      decodeAnswer(
        key,
        await getValue(
          this.#database,
          new LevelKeys(workspace).idempotent(key),
        ),
      ),
    );
  }

  loadNodes(workspace: string): Promise<readonly NodeRecord[]> {
    return this.#attempt("read", () =>
      readNodes(this.#database, new LevelKeys(workspace)),
    );
  }

  async saveNodes(
    workspace: string,
    put: readonly NodeRecord[],
    remove: readonly string[],
  ): Promise<void> {
    await this.#serially(async () => {
      await this.#reopen();
      await this.#write(() =>
        writeNodes(this.#database, new LevelKeys(workspace), put, remove),
      );
    });
  }

  loadHolds(workspace: string): Promise<readonly HoldRecord[]> {
    return this.#attempt("read", () =>
      readHolds(this.#database, new LevelKeys(workspace)),
    );
  }

  async saveHolds(
    workspace: string,
    put: readonly HoldRecord[],
    remove: readonly (string | undefined)[],
  ): Promise<void> {
    const keys = new LevelKeys(workspace);
    await this.#serially(async () => {
      await this.#reopen();
      if (put.length > 0) {
        const { cursor } = await this.#head(workspace);
        // In the same turn: what leads back to a state may have been forgotten since somebody looked.
        await this.#attempt("read", () =>
          refuseForgotten(this.#database, keys, put, cursor.revision),
        );
      }
      await this.#write(() => writeHolds(this.#database, keys, put, remove));
    });
  }

  /** Closes the database after what is being written. Others may open it then. */
  close(): Promise<void> {
    this.#closing ??= this.#serially(() => this.#database.close());
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Gives a new workspace its epoch. */
  async #create(workspace: string, keys: LevelKeys): Promise<LoadedWorkspace> {
    const snapshot = Snapshot.empty(workspace);
    const head = firstHead(this.#newEpoch(), snapshot.root);
    await this.#write(() => clearRemoved(this.#database, workspace));
    await this.#write(() =>
      this.#database.put(keys.head, encodeHead(head), { sync: true }),
    );
    this.#heads.set(workspace, head);
    return { ...head, snapshot };
  }

  #newEpoch(): string {
    return Buffer.from(this.#random(16)).toString("hex");
  }

  async #head(workspace: string): Promise<StoredHead> {
    const head =
      this.#heads.get(workspace) ??
      (await this.#attempt("read", () =>
        readHead(this.#database, new LevelKeys(workspace)),
      ));
    if (head === undefined)
      throw new ConfigError(
        "not_found",
        `there is no workspace "${workspace}"`,
      );
    this.#heads.set(workspace, head);
    return head;
  }

  async #commit(workspace: string, commits: readonly Commit[]): Promise<void> {
    await this.#reopen();
    const keys = new LevelKeys(workspace);
    const next = nextHead(await this.#head(workspace), commits);
    const timeMs = Math.max(
      ...commits.map(
        ({ record, idempotency }) => record?.timeMs ?? idempotency?.timeMs ?? 0,
      ),
    );
    const prune =
      Math.abs(timeMs - (this.#prunedMs.get(workspace) ?? 0)) >=
      PRUNE_INTERVAL_MS;
    const superfluous = prune
      ? await this.#attempt("read", () =>
          expiredAnswers(this.#database, keys, timeMs),
        )
      : [];
    await this.#write(() =>
      writeCommits(this.#database, keys, commits, next, {
        superfluous,
        known: this.#times,
      }),
    );
    if (prune) this.#prunedMs.set(workspace, timeMs);
    this.#heads.set(workspace, next);
  }

  /** Runs a write; when it fails, nothing that was known of the database is believed any more. */
  async #write(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#suspect = true;
      this.#heads.clear();
      this.#times.clear();
      this.#logger.error("store.write_failed", {
        directory: this.directory,
        err: error,
      });
      throw this.#translate(error, "commit");
    }
  }

  async #reopen(): Promise<void> {
    if (!this.#suspect) return;
    await this.#attempt("read", async () => {
      // On a disk that is still full the database could not be opened again, and then not even be read.
      await this.#probe();
      await this.#openAgain(openProvenDatabase);
    });
    this.#suspect = false;
    this.#heads.clear();
    this.#logger.info("store.reopened", { directory: this.directory });
  }

  async #openAgain(open = openDatabase): Promise<void> {
    await this.#database.close();
    this.#database = await open(this.directory);
  }

  /** Fails when the disk takes no write. */
  async #probe(): Promise<void> {
    const file = path.join(path.dirname(this.directory), PROBE_FILE);
    try {
      await writeFileDurably(file, Buffer.alloc(PROBE_BYTES));
    } finally {
      await rm(file, { force: true });
    }
  }

  async #attempt<T>(action: StoreAction, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw this.#translate(error, action);
    }
  }

  #translate(error: unknown, action: StoreAction): unknown {
    if (error instanceof DamagedError)
      return damaged(this.directory, error.message, error);
    // A mistake of the program stays what it is.
    if (error instanceof TypeError) return error;
    return storeError(error, action, this.directory);
  }

  /** Runs after the writes before it, whether those went well or not. */
  #serially<T>(run: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined)
      return Promise.reject(
        new ConfigError(
          "unavailable",
          `the store in ${this.directory} is closed`,
        ),
      );
    const result = this.#writing.then(run, run);
    this.#writing = result;
    return result;
  }
}
