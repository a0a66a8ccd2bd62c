import type { ConfigError } from "../../model/violation.ts";
import type { Job } from "./job.ts";
import type { TransactResult } from "./operation.ts";

/** Transactions that share one durable write, at most. */
const BATCH_JOBS = 64;

/** A transaction whose turn has not come. */
export interface Waiting {
  readonly job: Job;
  readonly resolve: (result: TransactResult) => void;
  readonly reject: (error: unknown) => void;
}

/** Something that shares its turn with no transaction. */
export interface WaitingAlone {
  readonly run: () => Promise<void>;
  readonly reject: (error: unknown) => void;
}

/** What waits for the writer, in the order of the calls; dry runs beside it, as they keep nobody waiting. */
export class Queue {
  #waiting: (Waiting | WaitingAlone)[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  push(waiting: Waiting | WaitingAlone): void {
    this.#waiting.push(waiting);
  }

  /** Takes what has its turn: transactions that share the next write, or something alone. Undefined: dry runs at most. */
  next(): readonly Waiting[] | WaitingAlone | undefined {
    const shared: Waiting[] = [];
    for (const waiting of this.#waiting) {
      if (isTrial(waiting)) continue;
      if (shared.length === BATCH_JOBS) break;
      if ("run" in waiting) {
        if (shared.length > 0) break;
        this.#take(new Set([waiting]));
        return waiting;
      }
      shared.push(waiting);
    }
    if (shared.length === 0) return undefined;
    this.#take(new Set(shared));
    return shared;
  }

  /** Takes the dry run that nothing is before; undefined when there is none. */
  nextTrial(): Waiting | undefined {
    const [first] = this.#waiting;
    if (first === undefined || !isTrial(first)) return undefined;
    this.#waiting.shift();
    return first;
  }

  /** Refuses all that waits. */
  refuse(reason: ConfigError): void {
    for (const { reject } of this.#waiting.splice(0)) reject(reason);
  }

  #take(taken: ReadonlySet<Waiting | WaitingAlone>): void {
    this.#waiting = this.#waiting.filter((waiting) => !taken.has(waiting));
  }
}

function isTrial(waiting: Waiting | WaitingAlone): waiting is Waiting {
  return "job" in waiting && waiting.job.options.dryRun === true;
}
