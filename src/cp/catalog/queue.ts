import { ConfigError } from "../../model/violation.ts";
import type { Job } from "./job.ts";
import type { TransactResult } from "./operation.ts";

/** Transactions that share one durable write, at most. */
const BATCH_JOBS = 64;

/** Dry runs that wait, at most: each holds its whole request, and who may only read can make them. */
const MAX_TRIALS = 64;

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

/** A dry run, and how many of what is no dry run were pushed before it. */
interface WaitingTrial {
  readonly trial: Waiting;
  readonly after: number;
}

/** What waits for the writer, in the order of the calls; dry runs beside it, as they keep nobody waiting. */
export class Queue {
  #writes: (Waiting | WaitingAlone)[] = [];
  #trials: WaitingTrial[] = [];
  /** Of what is no dry run: how many were taken. */
  #taken = 0;

  get isEmpty(): boolean {
    return this.#writes.length === 0 && this.#trials.length === 0;
  }

  /** @throws ConfigError RESOURCE_EXHAUSTED for a dry run when too many of them wait. */
  push(waiting: Waiting | WaitingAlone): void {
    if (!isTrial(waiting)) {
      this.#writes.push(waiting);
      return;
    }
    if (this.#trials.length >= MAX_TRIALS)
      throw new ConfigError(
        "resource_exhausted",
        `${MAX_TRIALS} dry runs are waiting in this workspace, and no more may: try again when some are done`,
      );
    const after = this.#taken + this.#writes.length;
    this.#trials.push({ trial: waiting, after });
  }

  /** Takes what has its turn: transactions that share the next write, or something alone. Undefined: dry runs at most. */
  next(): readonly Waiting[] | WaitingAlone | undefined {
    const shared: Waiting[] = [];
    for (const waiting of this.#writes) {
      if (shared.length === BATCH_JOBS) break;
      if ("run" in waiting) {
        if (shared.length > 0) break;
        this.#take(1);
        return waiting;
      }
      shared.push(waiting);
    }
    if (shared.length === 0) return undefined;
    this.#take(shared.length);
    return shared;
  }

  /** Takes the dry run that nothing is before; undefined when there is none. */
  nextTrial(): Waiting | undefined {
    const [first] = this.#trials;
    if (first === undefined || first.after > this.#taken) return undefined;
    this.#trials.shift();
    return first.trial;
  }

  /** Refuses all that waits. */
  refuse(reason: ConfigError): void {
    for (const { reject } of this.#writes.splice(0)) reject(reason);
    for (const { trial } of this.#trials.splice(0)) trial.reject(reason);
  }

  #take(count: number): void {
    this.#writes.splice(0, count);
    this.#taken += count;
  }
}

function isTrial(waiting: Waiting | WaitingAlone): waiting is Waiting {
  return "job" in waiting && waiting.job.options.dryRun === true;
}
