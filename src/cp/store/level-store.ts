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
import { HistoryTails } from "./history-tails.ts";
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
  readonly #tails: HistoryTails;
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
    this.#tails = new HistoryTails(this.#access);
  }

  /** Opens the store in a directory, or creates it. */
  static async open(options: LevelStoreOptions): Promise<LevelStore> {
    return new LevelStore(await openStoreDatabase(options.directory), options);
  }

  load(workspace: string): Promise<LoadedWorkspace> {
    return this.#access.inTurn(() =>
      this.#access.read(async (database) => {
        const keys = new LevelKeys(workspace);
        const head = await readHead(database, keys);
        if (head === undefined) {
          const first = await this.#begin(workspace);
          return { ...first, snapshot: Snapshot.empty(workspace) };
        }
        const loaded = await readWorkspace(database, keys, workspace, head);
        this.#heads.set(workspace, head);
        if (loaded.snapshot.byteCount >= MAPPED_BYTES)
          await this.#access.openAgain();
        return loaded;
      }),
    );
  }

  workspaces(): Promise<readonly string[]> {
    return this.#access.inTurn(() => this.#access.read(readWorkspaces));
  }

  removed(): Promise<readonly string[]> {
    return this.#access.read(readRemoved);
  }

  create(workspace: string, first?: FirstRevision): Promise<StoredHead> {
    return this.#access.inTurn(async () => {
      const there = await this.#access.read((database) =>
        readHead(database, new LevelKeys(workspace)),
      );
      if (there !== undefined)
        throw new ConfigError(
          "already_exists",
          `there is a workspace "${workspace}" already`,
        );
      return this.#begin(workspace, first);
    });
  }

  remove(workspace: string): Promise<void> {
    return this.#access.inTurn(async () => {
      await this.#access.write((database) => writeRemoval(database, workspace));
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
      at = await this.#access.inTurn(() =>
        this.#access.write((database) =>
          reclaimSome(database, workspace, after),
        ),
      );
    }
  }

  commit(workspace: string, commits: readonly Commit[]): Promise<void> {
    if (commits.length === 0) return Promise.resolve();
    return this.#access.inTurn(() => this.#commit(workspace, commits));
  }

  head(workspace: string): Promise<StoredHead> {
    return this.#access.inTurn(() => this.#head(workspace));
  }

  adopt(
    workspace: string,
    { from }: { readonly from: string },
  ): Promise<StoredHead> {
    return this.#access.inTurn(async () => {
      const head = await this.#head(workspace);
      const next = adoptedHead(head, from, this.#newEpoch());
      await this.#access.write((database) =>
        writeAdoption(database, new LevelKeys(workspace), next),
      );
      this.#heads.set(workspace, next);
      return next;
    });
  }

  history(
    workspace: string,
    options: { readonly before?: bigint; readonly limit: number },
  ): Promise<readonly RevisionRecord[]> {
    return this.#access.read((database) =>
      readHistory(database, new LevelKeys(workspace), options),
    );
  }

  record(
    workspace: string,
    revision: bigint,
  ): Promise<RevisionRecord | undefined> {
    return this.#access.read(async (database) => {
      const key = new LevelKeys(workspace).log(revision);
      const value = await getValue(database, key);
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
    const database = await this.#access.trusted();
    try {
      const range = { gte: keys.log(from), lte: keys.log(to) };
      for await (const [, value] of database.iterator(range))
        yield await readRecord(value);
    } catch (error) {
      throw this.#access.translate(error, "read");
    }
  }

  oldest(workspace: string): Promise<bigint | undefined> {
    return this.#tails.oldest(workspace);
  }

  async compact(workspace: string, superfluous: Superfluous): Promise<number> {
    const { cursor } = await this.head(workspace);
    return this.#tails.cut(workspace, superfluous, cursor.revision);
  }

  times(
    workspace: string,
    keys: readonly string[],
  ): Promise<readonly (EntryTimes | undefined)[]> {
    if (keys.length === 0) return Promise.resolve([]);
    const own = new LevelKeys(workspace);
    const known = keys.map((key) => this.#times.get(own.times(key)));
    if (!known.includes(undefined)) return Promise.resolve(known);
    return this.#access.read((database) => readTimes(database, own, keys));
  }

  idempotent(
    workspace: string,
    key: string,
  ): Promise<IdempotentAnswer | undefined> {
    return this.#access.read(async (database) =>
      decodeAnswer(
        key,
        await getValue(database, new LevelKeys(workspace).idempotent(key)),
      ),
    );
  }

  loadNodes(workspace: string): Promise<readonly NodeRecord[]> {
    return this.#access.read((database) =>
      readNodes(database, new LevelKeys(workspace)),
    );
  }

  async saveNodes(
    workspace: string,
    put: readonly NodeRecord[],
    remove: readonly string[],
  ): Promise<void> {
    await this.#access.inTurn(() =>
      this.#access.write((database) =>
        writeNodes(database, new LevelKeys(workspace), put, remove),
      ),
    );
  }

  loadHolds(workspace: string): Promise<readonly HoldRecord[]> {
    return this.#access.read((database) =>
      readHolds(database, new LevelKeys(workspace)),
    );
  }

  async saveHolds(
    workspace: string,
    put: readonly HoldRecord[],
    remove: readonly (string | undefined)[],
  ): Promise<void> {
    const keys = new LevelKeys(workspace);
    await this.#access.inTurn(async () => {
      if (put.length > 0) {
        const { cursor } = await this.#head(workspace);
        // In the same turn: what leads back to a state may have been forgotten since somebody looked.
        await this.#access.read((database) =>
          refuseForgotten(database, keys, put, cursor.revision),
        );
      }
      await this.#access.write((database) =>
        writeHolds(database, keys, put, remove),
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

  /** Makes a workspace that is not there, durably and in one step. */
  async #begin(workspace: string, first?: FirstRevision): Promise<StoredHead> {
    const keys = new LevelKeys(workspace);
    await this.#access.write((database) => clearRemoved(database, workspace));
    const head = firstHead(this.#newEpoch(), Snapshot.empty(workspace).root);
    const commits = firstCommits(head, first);
    const next = nextHead(head, commits);
    await this.#access.write((database) =>
      commits.length === 0
        ? database.put(keys.head, encodeHead(next), { sync: true })
        : writeCommits(database, keys, commits, next, { known: this.#times }),
    );
    this.#tails.begin(workspace);
    this.#heads.set(workspace, next);
    return next;
  }

  #newEpoch(): string {
    return Buffer.from(this.#random(16)).toString("hex");
  }

  async #head(workspace: string): Promise<StoredHead> {
    const head =
      this.#heads.get(workspace) ??
      (await this.#access.read((database) =>
        readHead(database, new LevelKeys(workspace)),
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
      ? await this.#access.read((database) =>
          expiredAnswers(database, keys, timeMs),
        )
      : [];
    await this.#access.write((database) =>
      writeCommits(database, keys, commits, next, {
        superfluous,
        known: this.#times,
      }),
    );
    if (prune) this.#prunedMs.set(workspace, timeMs);
    this.#heads.set(workspace, next);
  }
}
