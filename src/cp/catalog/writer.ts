import { cursorsEqual } from "../../model/cursor.ts";
import { ConfigError } from "../../model/violation.ts";
import type {
  LoadedWorkspace,
  RevisionRecord,
  StoredHead,
} from "../store/store.ts";
import { Batch, type BatchContext, type Outcome } from "./batch.ts";
import { readBeyond } from "./catch-up.ts";
import { replacedAlready } from "./epochs.ts";
import type { Job } from "./job.ts";
import { nextKeysSlices } from "./next-keys.ts";
import type { TransactResult } from "./operation.ts";
import { Queue, type Waiting } from "./queue.ts";
import type { SortedKeys } from "./sorted-keys.ts";
import type { Head, State } from "./state.ts";
import { CommittedView, Layer } from "./view.ts";

/** States kept for those who have not caught up yet. */
const RETAINED_HEADS = 64;

/** Hears of revisions, in their order, once they are durable and the head has moved; of a new epoch, without any. */
export type CommitListener = (
  head: Head,
  records: readonly RevisionRecord[],
) => void;

/** The one writer of a workspace: takes what waits, plans it, makes it durable in one write, and only then moves the head. */
export class Writer {
  readonly #context: BatchContext;
  readonly #committed: CommittedView;
  #state: State;
  readonly #retained: Head[];
  readonly #listeners = new Set<CommitListener>();
  readonly #waiting = new Queue();
  #running: Promise<void> | undefined;
  /** The dry run that is being planned, beside the writes. */
  #trial: Promise<void> | undefined;
  /** Whether a commit failed in a way that may have left it on disk. */
  #uncertain = false;
  /** Why nothing is taken any more. */
  #closed: ConfigError | undefined;

  private constructor(
    context: BatchContext,
    committed: CommittedView,
    state: State,
  ) {
    this.#context = context;
    this.#committed = committed;
    this.#state = state;
    this.#retained = [state.head];
  }

  /** Indexes what was loaded from the store. */
  static async open(
    context: BatchContext,
    { keys, ...head }: LoadedWorkspace,
  ): Promise<Writer> {
    const view = await context.drive(
      CommittedView.ofSlices(head.snapshot, keys?.()),
    );
    return new Writer(context, view, { head, keys: view.sortedKeys, view });
  }

  /** The newest durable state. */
  get state(): State {
    return this.#state;
  }

  /** The indexes of the durable state. */
  get committed(): CommittedView {
    return this.#committed;
  }

  /** The state at a cursor, if it is one of the last. */
  retained(cursor: Head["cursor"]): Head | undefined {
    return this.#retained.find((head) => cursorsEqual(head.cursor, cursor));
  }

  /** Calls a listener after each batch, until the returned function is called. */
  onCommit(listener: CommitListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /**
   * Does a job when its turn comes. Dry runs are planned one at a time, on the state of when they begin: no write waits
   * for one, nor changes what it is planned on.
   *
   * @throws ConfigError RESOURCE_EXHAUSTED for a dry run when too many of them wait.
   */
  submit(job: Job): Promise<TransactResult> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /**
   * Gives the history a new epoch, after the transactions before and before those after it. Nothing is done when the one
   * to be replaced was already.
   */
  adopt(epoch: string | undefined): Promise<Head> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    return new Promise((resolve, reject) => {
      const run = (): Promise<void> => this.#adopt(epoch).then(resolve, reject);
      this.#waiting.push({ run, reject });
      this.#running ??= this.#run();
    });
  }

  /**
   * Removes the workspace from the store, after the transactions before; those after it are refused.
   *
   * @param check Throws when the state must not go.
   */
  retire(check: (head: Head) => void): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    return new Promise((resolve, reject) => {
      const run = (): Promise<void> =>
        this.#retire(check).then(resolve, reject);
      this.#waiting.push({ run, reject });
      this.#running ??= this.#run();
    });
  }

  /** Ends after the batch that is being written; what waits behind it is refused. */
  async close(): Promise<void> {
    this.#refuseAll(closedError());
    await this.#running;
    await this.#trial;
  }

  #refuseAll(reason: ConfigError): void {
    this.#closed ??= reason;
    this.#waiting.refuse(this.#closed);
  }

  async #run(): Promise<void> {
    // What is submitted in the same turn of the event loop shares a batch.
    await Promise.resolve();
    try {
      for (;;) {
        await this.#startTrial();
        const next = this.#waiting.next();
        if (next === undefined) {
          // Only dry runs are left: each of them begins when the one before has ended.
          if (this.#trial !== undefined || this.#waiting.isEmpty) return;
        } else if ("run" in next) await next.run();
        else await this.#runBatch(next);
      }
    } finally {
      this.#running = undefined;
    }
  }

  /** Begins a dry run that nothing is before, when none is under way. The indexes must be whole: between two batches. */
  async #startTrial(): Promise<void> {
    const first =
      this.#trial === undefined ? this.#waiting.nextTrial() : undefined;
    if (first === undefined) return;
    try {
      await this.#catchUp();
    } catch (error) {
      first.reject(error);
      return;
    }
    this.#trial = this.#try(first).finally(() => {
      this.#trial = undefined;
      if (!this.#waiting.isEmpty) this.#running ??= this.#run();
    });
  }

  async #try({ job, resolve, reject }: Waiting): Promise<void> {
    const view = this.#committed.pin();
    try {
      const batch = new Batch(this.#context, { ...this.#state, view });
      const outcome = await batch.add(job);
      if (outcome.type === "result") resolve(outcome.result);
      else reject(outcome.error);
    } finally {
      view.release();
    }
  }

  async #adopt(epoch: string | undefined): Promise<Head> {
    await this.#catchUp();
    const { store, logger } = this.#context;
    const { head, keys, view } = this.#state;
    if (replacedAlready(head, epoch)) return head;
    const { workspace } = head.snapshot;
    const from = head.cursor.epoch;
    let stored: StoredHead;
    try {
      stored = await store.adopt(workspace, { from });
    } catch (error) {
      this.#uncertain = true;
      logger.error("catalog.adopt_failed", { workspace, err: error });
      throw error;
    }
    logger.warn("catalog.adopted", {
      workspace,
      from,
      epoch: stored.cursor.epoch,
      revision: stored.cursor.revision.toString(),
    });
    const next = { ...stored, snapshot: head.snapshot };
    await this.#moveTo(new Layer(view), keys, [next], [], () => undefined);
    return next;
  }

  async #retire(check: (head: Head) => void): Promise<void> {
    const { store, logger } = this.#context;
    const { workspace } = this.#state.head.snapshot;
    const gone = new ConfigError(
      "not_found",
      `workspace "${workspace}" was deleted: nothing was changed`,
    );
    // When not, an earlier removal that had failed was written all the same.
    if (await this.#isThere()) {
      check(this.#state.head);
      try {
        await store.remove(workspace);
      } catch (error) {
        this.#uncertain = true;
        logger.error("catalog.retire_failed", { workspace, err: error });
        throw error;
      }
    }
    this.#refuseAll(gone);
  }

  async #isThere(): Promise<boolean> {
    try {
      await this.#catchUp();
      return true;
    } catch (error) {
      if (error instanceof ConfigError && error.code === "not_found")
        return false;
      throw error;
    }
  }

  async #runBatch(waiting: readonly Waiting[]): Promise<void> {
    let batch: Batch;
    let keys: SortedKeys;
    const outcomes: Outcome[] = [];
    try {
      await this.#catchUp();
      batch = new Batch(this.#context, this.#state);
      for (const { job } of waiting) outcomes.push(await batch.add(job));
      keys = await this.#nextKeys(batch.layer);
      await this.#commit(batch);
    } catch (error) {
      // Also those that would have been refused: what they were judged by was not durable.
      for (const { reject } of waiting) reject(error);
      return;
    }
    await this.#moveTo(batch.layer, keys, batch.heads, batch.records, () => {
      for (const [i, { resolve, reject }] of waiting.entries()) {
        const outcome = outcomes[i];
        if (outcome?.type === "result") resolve(outcome.result);
        else reject(outcome?.error);
      }
    });
  }

  async #commit(batch: Batch): Promise<void> {
    if (batch.commits.length === 0) return;
    const { store, logger } = this.#context;
    const { workspace } = this.#state.head.snapshot;
    try {
      await store.commit(workspace, batch.commits);
    } catch (error) {
      this.#uncertain = true;
      logger.error("catalog.commit_failed", { workspace, err: error });
      throw error;
    }
  }

  /** After a failed write: what was to be written may be there all the same, and then it counts. */
  async #catchUp(): Promise<void> {
    if (!this.#uncertain) return;
    const { logger } = this.#context;
    const { layer, heads, records } = await readBeyond(
      this.#context,
      this.#state,
    );
    const keys = await this.#nextKeys(layer);
    this.#uncertain = false;
    logger.info("catalog.recovered", {
      workspace: this.#state.head.snapshot.workspace,
      revision: (heads.at(-1) ?? this.#state.head).cursor.revision.toString(),
      found: records.length,
    });
    await this.#moveTo(layer, keys, heads, records, () => undefined);
  }

  /** Moves the head, tells everybody, and then takes the changes into the indexes. */
  async #moveTo(
    layer: Layer,
    keys: SortedKeys,
    heads: readonly Head[],
    records: readonly RevisionRecord[],
    answer: () => void,
  ): Promise<void> {
    const head = heads.at(-1);
    if (head === undefined) {
      answer();
      return;
    }
    this.#state = { head, keys, view: layer };
    this.#retained.push(...heads);
    this.#retained.splice(0, this.#retained.length - RETAINED_HEADS);
    answer();
    this.#tell(head, records);
    await this.#context.drive(
      this.#committed.absorbSlices(layer, head.snapshot, keys),
    );
    this.#state = { head, keys, view: this.#committed };
  }

  #tell(head: Head, records: readonly RevisionRecord[]): void {
    for (const listener of this.#listeners)
      try {
        listener(head, records);
      } catch (error) {
        this.#context.logger.error("catalog.listener_failed", {
          workspace: head.snapshot.workspace,
          err: error,
        });
      }
  }

  #nextKeys(layer: Layer): Promise<SortedKeys> {
    const { keys, head } = this.#state;
    return this.#context.drive(
      nextKeysSlices(keys, layer, (key) => head.snapshot.get(key)),
    );
  }
}

function closedError(): ConfigError {
  return new ConfigError(
    "unavailable",
    "the control plane is stopping: nothing was changed",
  );
}
