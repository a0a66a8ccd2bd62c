import type { Clock } from "../../runtime/clock.ts";
import {
  LocalCounters,
  type CounterStep,
  type SharedCounters,
} from "../plugins/counters.ts";

export interface RemoteCountersOptions {
  readonly clock: Clock;
  /** Whether what was sent has not left yet. */
  readonly isFull: () => boolean;
  /** Sends steps that are to be answered by `answered` with the same id. */
  readonly send: (id: number, steps: readonly CounterStep[]) => void;
  /** How long a request may be held up by this. Default 100 ms. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 100;
/** Steps that wait to be sent, at most. */
const MAX_STEPS = 10_000;

/** Somebody who waits for the values of some steps. */
interface Waiting {
  /** The values of its steps are from here on in those of the batch. */
  readonly from: number;
  readonly count: number;
  readonly resolve: (values: readonly number[]) => void;
}

/**
 * Counters that are kept in another process, for all its workers: exact, whichever of them a request comes to. What is
 * asked for within one turn of the event loop goes in one message.
 *
 * The rule when the answer does not come in time: the request goes by what this worker alone has counted. Its steps stay on
 * their way, so that the shared counters are right again when they arrive.
 */
export class RemoteCounters implements SharedCounters {
  readonly #options: RemoteCountersOptions;
  /** What this worker has counted itself. */
  readonly #own: LocalCounters;
  readonly #sent = new Map<number, Waiting[]>();
  #steps: CounterStep[] = [];
  #waiting: Waiting[] = [];
  #isFlushing = false;
  #nextId = 1;

  constructor(options: RemoteCountersOptions) {
    this.#options = options;
    this.#own = new LocalCounters(options);
  }

  add(steps: readonly CounterStep[]): Promise<readonly number[]> {
    const { clock, patienceMs = PATIENCE_MS } = this.#options;
    const own = this.#own.addNow(steps);
    this.#schedule();
    // The other side has not read for so long that what is left is not worth the memory.
    if (this.#steps.length + steps.length > MAX_STEPS)
      return Promise.resolve(own);
    return new Promise((resolve) => {
      const timer = clock.setTimer(patienceMs, () => {
        resolve(own);
      });
      this.#waiting.push({
        from: this.#steps.length,
        count: steps.length,
        resolve: (values) => {
          timer.cancel();
          resolve(values);
        },
      });
      this.#steps.push(...steps);
    });
  }

  /** Takes the values that the other side answered with. */
  answered(id: number, values: readonly number[]): void {
    const waiting = this.#sent.get(id);
    this.#sent.delete(id);
    for (const { from, count, resolve } of waiting ?? [])
      resolve(values.slice(from, from + count));
    if (this.#steps.length > 0) this.#schedule();
  }

  #schedule(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      // What waits goes out with what comes next, or when the other side answers.
      if (this.#steps.length > 0 && !this.#options.isFull()) this.#flush();
    });
  }

  #flush(): void {
    const id = this.#nextId++;
    const steps = this.#steps;
    this.#sent.set(id, this.#waiting);
    this.#steps = [];
    this.#waiting = [];
    this.#options.send(id, steps);
  }
}
