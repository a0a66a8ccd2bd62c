import { randomBytes } from "node:crypto";
import { Snapshot } from "../../model/snapshot.ts";
import { ConfigError } from "../../model/violation.ts";
import { silentLogger, type Logger } from "../../runtime/logger.ts";
import { LevelAccess, openStoreDatabase } from "./level-access.ts";
import { nextHead, writeCommits } from "./level-commit.ts";
import { getValue, type LevelDatabase } from "./level-database.ts";
import {
  adoptedHead,
  firstCommits,
  firstHead,
  writeAdoption,
} from "./level-epoch.ts";
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
import { readHead, readRecord, readWorkspace } from "./level-load.ts";
import {
  clearRemoved,
  readRemoved,
  readWorkspaces,
  reclaimSome,
  writeRemoval,
} from "./level-workspaces.ts";
import { readHistory, readNodes, readTimes, writeNodes } from "./level-read.ts";
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
  readonly #access: LevelAccess;
  /** The heads as they are on disk, of the workspaces known so far. */
  readonly #heads = new Map<string, StoredHead>();
  /** By workspace: when old answers were last looked for. */
  readonly #prunedMs = new Map<string, number>();
  /** No record is older, by workspace: what was removed from a database takes time to look past. */
  readonly #floors = new Map<string, bigint>();
  readonly #times = new KnownTimes();

  private constructor(database: LevelDatabase, options: LevelStoreOptions) {
    this.directory = options.directory;
    this.#random = options.random ?? ((bytes) => randomBytes(bytes));
    this.#access = new LevelAccess(database, {
      directory: options.directory,
      logger: options.logger ?? silentLogger,
      distrusted: () => {
        this.#heads.clear();
        this.#times.clear();
      },
    });
  }

  /** Opens the store in a directory, or creates it. */
  static async open(options: LevelStoreOptions): Promise<LevelStore> {
    return new LevelStore(await openStoreDatabase(options.directory), options);
  }

  load(workspace: string): Promise<LoadedWorkspace> {
    return this.#access.serially(async () => {
      await this.#access.reopen();
      return this.#access.attempt("read", async () => {
        const keys = new LevelKeys(workspace);
        const head = await readHead(this.#access.database, keys);
        if (head === undefined) return this.#create(workspace, keys);
        const loaded = await readWorkspace(
          this.#access.database,
          keys,
          workspace,
          head,
        );
        this.#heads.set(workspace, head);
        if (loaded.snapshot.byteCount >= MAPPED_BYTES)
          await this.#access.openAgain();
        return loaded;
      });
    });
  }

  workspaces(): Promise<readonly string[]> {
    return this.#access.serially(async () => {
      await this.#access.reopen();
      return this.#access.attempt("read", () =>
        readWorkspaces(this.#access.database),
      );
    });
  }

  removed(): Promise<readonly string[]> {
    return this.#access.attempt("read", () =>
      readRemoved(this.#access.database),
    );
  }

  create(workspace: string, first?: FirstRevision): Promise<StoredHead> {
    return this.#access.serially(async () => {
      await this.#access.reopen();
      const keys = new LevelKeys(workspace);
      const there = await this.#access.attempt("read", () =>
        readHead(this.#access.database, keys),
      );
      if (there !== undefined)
        throw new ConfigError(
          "already_exists",
          `there is a workspace "${workspace}" already`,
        );
      await this.#access.write(() =>
        clearRemoved(this.#access.database, workspace),
      );
      const head = firstHead(this.#newEpoch(), Snapshot.empty(workspace).root);
      const commits = firstCommits(head, first);
      const next = nextHead(head, commits);
      await this.#access.write(() =>
        commits.length === 0
          ? this.#access.database.put(keys.head, encodeHead(next), {
              sync: true,
            })
          : writeCommits(this.#access.database, keys, commits, next, {
              known: this.#times,
            }),
      );
      // Not when the one before was removed: its records could be looked for until they were gone.
      this.#floors.delete(workspace);
      this.#heads.set(workspace, next);
      return next;
    });
  }

  remove(workspace: string): Promise<void> {
    return this.#access.serially(async () => {
      await this.#access.reopen();
      await this.#access.write(() =>
        writeRemoval(this.#access.database, workspace),
      );
      this.#heads.delete(workspace);
      this.#times.clear();
      this.#prunedMs.delete(workspace);
    });
  }

  async reclaim(workspace: string, signal?: AbortSignal): Promise<void> {
    // A step at a time, so that others write in between.
    for (let at: string | undefined = ""; at !== undefined;) {
      if (signal?.aborted === true) return;
      const after: string = at;
      at = await this.#access.serially(async () => {
        await this.#access.reopen();
        let next: string | undefined;
        await this.#access.write(async () => {
          next = await reclaimSome(this.#access.database, workspace, after);
        });
        return next;
      });
    }
  }

  commit(workspace: string, commits: readonly Commit[]): Promise<void> {
    if (commits.length === 0) return Promise.resolve();
    return this.#access.serially(() => this.#commit(workspace, commits));
  }

  head(workspace: string): Promise<StoredHead> {
    return this.#access.serially(async () => {
      await this.#access.reopen();
      return this.#head(workspace);
    });
  }

  adopt(
    workspace: string,
    { from }: { readonly from: string },
  ): Promise<StoredHead> {
    return this.#access.serially(async () => {
      await this.#access.reopen();
      const head = await this.#head(workspace);
      const next = adoptedHead(head, from, this.#newEpoch());
      await this.#access.write(() =>
        writeAdoption(this.#access.database, new LevelKeys(workspace), next),
      );
      this.#heads.set(workspace, next);
      return next;
    });
  }

  history(
    workspace: string,
    options: { readonly before?: bigint; readonly limit: number },
  ): Promise<readonly RevisionRecord[]> {
    return this.#access.attempt("read", () =>
      readHistory(this.#access.database, new LevelKeys(workspace), options),
    );
  }

  record(
    workspace: string,
    revision: bigint,
  ): Promise<RevisionRecord | undefined> {
    return this.#access.attempt("read", async () => {
      const key = new LevelKeys(workspace).log(revision);
      const value = await getValue(this.#access.database, key);
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
    await this.#access.trusted();
    try {
      const range = { gte: keys.log(from), lte: keys.log(to) };
      for await (const [, value] of this.#access.database.iterator(range))
        yield await readRecord(value);
    } catch (error) {
      throw this.#access.translate(error, "read");
    }
  }

  oldest(workspace: string): Promise<bigint | undefined> {
    return this.#access.attempt("read", async () => {
      const from = this.#floors.get(workspace) ?? 0n;
      const keys = new LevelKeys(workspace);
      const oldest = await oldestRecord(this.#access.database, keys, from);
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
    const old = await this.#access.attempt("read", () =>
      superfluousRecords(this.#access.database, keys, superfluous, {
        from,
        head: cursor.revision,
      }),
    );
    if (old.length === 0) return 0;
    return this.#access.serially(async () => {
      await this.#access.reopen();
      const going = stillSuperfluous(old, keys, superfluous);
      if (going.length > 0)
        await this.#access.write(() =>
          this.#access.database.batch(
            going.map((key) => ({ type: "del", key })),
          ),
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
    return this.#access.attempt("read", () =>
      readTimes(this.#access.database, own, keys),
    );
  }

  idempotent(
    workspace: string,
    key: string,
  ): Promise<IdempotentAnswer | undefined> {
    return this.#access.attempt("read", async () =>
      decodeAnswer(
        key,
        await getValue(
          this.#access.database,
          new LevelKeys(workspace).idempotent(key),
        ),
      ),
    );
  }

  loadNodes(workspace: string): Promise<readonly NodeRecord[]> {
    return this.#access.attempt("read", () =>
      readNodes(this.#access.database, new LevelKeys(workspace)),
    );
  }

  async saveNodes(
    workspace: string,
    put: readonly NodeRecord[],
    remove: readonly string[],
  ): Promise<void> {
    await this.#access.serially(async () => {
      await this.#access.reopen();
      await this.#access.write(() =>
        writeNodes(
          this.#access.database,
          new LevelKeys(workspace),
          put,
          remove,
        ),
      );
    });
  }

  loadHolds(workspace: string): Promise<readonly HoldRecord[]> {
    return this.#access.attempt("read", () =>
      readHolds(this.#access.database, new LevelKeys(workspace)),
    );
  }

  async saveHolds(
    workspace: string,
    put: readonly HoldRecord[],
    remove: readonly (string | undefined)[],
  ): Promise<void> {
    const keys = new LevelKeys(workspace);
    await this.#access.serially(async () => {
      await this.#access.reopen();
      if (put.length > 0) {
        const { cursor } = await this.#head(workspace);
        // In the same turn: what leads back to a state may have been forgotten since somebody looked.
        await this.#access.attempt("read", () =>
          refuseForgotten(this.#access.database, keys, put, cursor.revision),
        );
      }
      await this.#access.write(() =>
        writeHolds(this.#access.database, keys, put, remove),
      );
    });
  }

  /** Closes the database after what is being written. Others may open it then. */
  close(): Promise<void> {
    return this.#access.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Gives a new workspace its epoch. */
  async #create(workspace: string, keys: LevelKeys): Promise<LoadedWorkspace> {
    const snapshot = Snapshot.empty(workspace);
    const head = firstHead(this.#newEpoch(), snapshot.root);
    await this.#access.write(() =>
      clearRemoved(this.#access.database, workspace),
    );
    await this.#access.write(() =>
      this.#access.database.put(keys.head, encodeHead(head), { sync: true }),
    );
    this.#floors.delete(workspace);
    this.#heads.set(workspace, head);
    return { ...head, snapshot };
  }

  #newEpoch(): string {
    return Buffer.from(this.#random(16)).toString("hex");
  }

  async #head(workspace: string): Promise<StoredHead> {
    const head =
      this.#heads.get(workspace) ??
      (await this.#access.attempt("read", () =>
        readHead(this.#access.database, new LevelKeys(workspace)),
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
    await this.#access.reopen();
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
      ? await this.#access.attempt("read", () =>
          expiredAnswers(this.#access.database, keys, timeMs),
        )
      : [];
    await this.#access.write(() =>
      writeCommits(this.#access.database, keys, commits, next, {
        superfluous,
        known: this.#times,
      }),
    );
    if (prune) this.#prunedMs.set(workspace, timeMs);
    this.#heads.set(workspace, next);
  }
}
