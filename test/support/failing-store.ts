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
} from "../../src/cp/store/store.ts";
import { ConfigError } from "../../src/model/violation.ts";

/** How a commit is to fail: without having written, or after. */
export type Failure = "lost" | "written";

/** A store whose commits fail, and wait, when a test says so. */
export class FailingStore implements Store {
  readonly #inner: Store;
  /** How the next commits fail, the first first. */
  readonly failures: Failure[] = [];
  /** Whether reading fails. */
  unreadable = false;
  /** The number of transactions in each commit, failed ones included. */
  readonly groups: number[] = [];
  #gate: Promise<void> = Promise.resolve();

  constructor(inner: Store) {
    this.#inner = inner;
  }

  /** Keeps commits waiting until the returned function is called. */
  hold(): () => void {
    let release = (): void => undefined;
    this.#gate = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  oldest(workspace: string): Promise<bigint | undefined> {
    return this.#inner.oldest(workspace);
  }

  compact(workspace: string, superfluous: Superfluous): Promise<number> {
    return this.#inner.compact(workspace, superfluous);
  }

  load(workspace: string): Promise<LoadedWorkspace> {
    return this.#inner.load(workspace);
  }

  workspaces(): Promise<readonly string[]> {
    return this.#inner.workspaces();
  }

  create(workspace: string, first?: FirstRevision): Promise<StoredHead> {
    return this.#inner.create(workspace, first);
  }

  async remove(workspace: string): Promise<void> {
    const failure = this.failures.shift();
    if (failure !== "lost") await this.#inner.remove(workspace);
    if (failure !== undefined)
      throw new ConfigError("unavailable", "the disk has failed");
  }

  removed(): Promise<readonly string[]> {
    return this.#inner.removed();
  }

  reclaim(workspace: string, signal?: AbortSignal): Promise<void> {
    return this.#inner.reclaim(workspace, signal);
  }

  async commit(workspace: string, commits: readonly Commit[]): Promise<void> {
    this.groups.push(commits.length);
    await this.#gate;
    const failure = this.failures.shift();
    if (failure !== "lost") await this.#inner.commit(workspace, commits);
    if (failure !== undefined)
      throw new ConfigError("unavailable", "the disk has failed");
  }

  head(workspace: string): Promise<StoredHead> {
    this.#check();
    return this.#inner.head(workspace);
  }

  async adopt(
    workspace: string,
    options: { readonly from: string },
  ): Promise<StoredHead> {
    await this.#gate;
    const failure = this.failures.shift();
    if (failure === "lost")
      throw new ConfigError("unavailable", "the disk has failed");
    const head = await this.#inner.adopt(workspace, options);
    if (failure === undefined) return head;
    throw new ConfigError("unavailable", "the disk has failed");
  }

  history(
    workspace: string,
    options: { readonly before?: bigint; readonly limit: number },
  ): Promise<readonly RevisionRecord[]> {
    return this.#inner.history(workspace, options);
  }

  record(
    workspace: string,
    revision: bigint,
  ): Promise<RevisionRecord | undefined> {
    return this.#inner.record(workspace, revision);
  }

  async *records(
    workspace: string,
    from: bigint,
    to: bigint,
  ): AsyncGenerator<RevisionRecord> {
    this.#check();
    yield* this.#inner.records(workspace, from, to);
  }

  async times(
    workspace: string,
    keys: readonly string[],
  ): Promise<readonly (EntryTimes | undefined)[]> {
    this.#check();
    return this.#inner.times(workspace, keys);
  }

  idempotent(
    workspace: string,
    key: string,
  ): Promise<IdempotentAnswer | undefined> {
    return this.#inner.idempotent(workspace, key);
  }

  loadNodes(workspace: string): Promise<readonly NodeRecord[]> {
    return this.#inner.loadNodes(workspace);
  }

  loadHolds(workspace: string): Promise<readonly HoldRecord[]> {
    return this.#inner.loadHolds(workspace);
  }

  async saveHolds(
    workspace: string,
    put: readonly HoldRecord[],
    remove: readonly (string | undefined)[],
  ): Promise<void> {
    await this.#gate;
    const failure = this.failures.shift();
    if (failure !== "lost") await this.#inner.saveHolds(workspace, put, remove);
    if (failure !== undefined)
      throw new ConfigError("unavailable", "the disk has failed");
  }

  saveNodes(
    workspace: string,
    put: readonly NodeRecord[],
    remove: readonly string[],
  ): Promise<void> {
    return this.#inner.saveNodes(workspace, put, remove);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]();
  }

  #check(): void {
    if (this.unreadable)
      throw new ConfigError("unavailable", "the disk cannot be read");
  }
}
