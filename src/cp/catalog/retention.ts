import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Store } from "../store/store.ts";
import type { Catalog } from "./catalog.ts";

/** How much of a history is kept. The newest revision always is, and what a pin or the pause needs. */
export interface KeepHistory {
  /** So many revisions, at least; a few more until the next round. */
  readonly revisions: number;
  /** Only those this young, in milliseconds. Absent: however old. */
  readonly ageMs?: number;
}

/** What is kept when nothing else is said. */
export const KEPT_HISTORY: KeepHistory = { revisions: 10_000 };

/** Records forgotten in one step: a write that comes meanwhile waits for no more than that. */
const STEP_RECORDS = 64;

/** Time between two rounds that look at the age, at least and at most. */
const MIN_ROUND_MS = 60_000;
const MAX_ROUND_MS = 60 * 60 * 1000;

export interface RetentionOptions {
  readonly catalog: Catalog;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly keep: KeepHistory;
  /**
   * The lowest revision that nodes are kept at. A control plane that starts again rebuilds that state from the head
   * back: the records from there on stay as long as it is said. The store asks for it in the turn in which records go.
   */
  readonly heldFrom: () => bigint | undefined;
}

/** Forgets, in the background, what of a workspace's history is too much or too old. */
export class Retention implements AsyncDisposable {
  readonly #options: RetentionOptions;
  readonly #unsubscribe: () => void;
  #timer: Timer | undefined;
  #round: Promise<void> | undefined;
  /** The head's revision at which there is enough to forget for another round. */
  #next = 0n;
  #closed = false;

  private constructor(options: RetentionOptions) {
    this.#options = options;
    this.#unsubscribe = options.catalog.onCommit(({ cursor }) => {
      if (cursor.revision >= this.#next) this.#begin();
    });
  }

  /** Begins, with a round at once. */
  static start(options: RetentionOptions): Retention {
    const retention = new Retention(options);
    retention.#begin();
    return retention;
  }

  /** Resolves when the round that is under way, if any, is done. */
  async settled(): Promise<void> {
    while (this.#round !== undefined) await this.#round;
  }

  /** Stops after the step that is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe();
    this.#timer?.cancel();
    await this.settled();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #begin(): void {
    if (this.#closed) return;
    this.#round ??= this.#forget().finally(() => {
      this.#round = undefined;
      // What was committed meanwhile may have made another one due.
      if (this.#options.catalog.head.cursor.revision >= this.#next)
        this.#begin();
      else this.#arm();
    });
  }

  #arm(): void {
    const { clock, keep } = this.#options;
    this.#timer?.cancel();
    if (this.#closed || keep.ageMs === undefined) return;
    const wait = Math.max(
      MIN_ROUND_MS,
      Math.min(MAX_ROUND_MS, keep.ageMs / 16),
    );
    this.#timer = clock.setTimer(wait, () => {
      this.#begin();
    });
  }

  async #forget(): Promise<void> {
    const { catalog, store, clock, logger, keep, heldFrom } = this.#options;
    const { workspace } = catalog;
    const { revision } = catalog.head.cursor;
    // Many at a time cost less than each alone.
    const slack = Math.max(1, Math.min(STEP_RECORDS, keep.revisions >> 4));
    this.#next = revision + BigInt(slack);
    const before = revision + 1n - BigInt(keep.revisions);
    let forgotten = 0;
    try {
      while (!this.#closed) {
        const step = await store.compact(workspace, {
          before: before < 0n ? 0n : before,
          ...(keep.ageMs === undefined
            ? {}
            : { beforeMs: clock.now() - keep.ageMs }),
          keepFrom: heldFrom,
          limit: STEP_RECORDS,
        });
        if (step === 0) break;
        forgotten += step;
      }
    } catch (error) {
      // The next round does it.
      logger.warn("catalog.retention_failed", { workspace, err: error });
    }
    if (forgotten > 0)
      logger.info("catalog.history_forgotten", {
        workspace,
        revisions: forgotten,
      });
  }
}
