import type { Clock } from "../../runtime/clock.ts";

/** What is done to one counter. */
export interface CounterStep {
  /** Names the counter. Whatever makes it one of its own is in it: the plugin, who is counted, the window. */
  readonly key: string;
  /** What is added. 0 reads; a negative number takes back. */
  readonly by: number;
  /** When a counter that this makes ends, in milliseconds since the Unix epoch. One that is there keeps its own end. */
  readonly expiresMs: number;
}

/** Counters that all workers of a data plane share. They may be lost, as when memory runs short: then they begin anew. */
export interface SharedCounters {
  /** Takes all steps at once, nobody else's between them; resolves with the values after it, in the order of the steps. */
  add(steps: readonly CounterStep[]): Promise<readonly number[]>;
}

/** How a process keeps its counters. */
export interface LocalCountersOptions {
  readonly clock: Pick<Clock, "now">;
  /** How many counters there are at most; one takes some 200 bytes. Default 100,000. */
  readonly maxCounters?: number;
}

interface Counter {
  value: number;
  readonly expiresMs: number;
  /** Whether it was asked for since the sweep was here. */
  used: boolean;
}

const MAX_COUNTERS = 100_000;

/** How many counters the sweep looks at for each one that is made: it gets round faster than they come. */
const SWEPT_PER_NEW = 2;

/**
 * Counters of this process alone. Each new one makes the sweep go on a little: counters that are over are dropped, and
 * where there are too many, the first that nobody asked for since the last round.
 */
export class LocalCounters implements SharedCounters {
  readonly #clock: Pick<Clock, "now">;
  readonly #max: number;
  readonly #counters = new Map<string, Counter>();
  #sweep = this.#counters.entries();

  constructor({ clock, maxCounters = MAX_COUNTERS }: LocalCountersOptions) {
    this.#clock = clock;
    this.#max = maxCounters;
  }

  /** How many counters there are, those included that are over but not swept yet. */
  get size(): number {
    return this.#counters.size;
  }

  add(steps: readonly CounterStep[]): Promise<readonly number[]> {
    return Promise.resolve(this.addNow(steps));
  }

  /** As `add`, at once. */
  addNow(steps: readonly CounterStep[]): readonly number[] {
    const nowMs = this.#clock.now();
    return steps.map((step) => this.#step(step, nowMs));
  }

  #step({ key, by, expiresMs }: CounterStep, nowMs: number): number {
    const counter = this.#counters.get(key);
    if (counter !== undefined && counter.expiresMs > nowMs) {
      counter.used = true;
      counter.value += by;
      return counter.value;
    }
    // Taking back from a counter that is gone leaves nothing, and one that would be over is not worth making.
    if (by <= 0 || expiresMs <= nowMs) return Math.max(by, 0);
    if (counter === undefined) this.#makeRoom(nowMs);
    else this.#counters.delete(key);
    this.#counters.set(key, { value: by, expiresMs, used: true });
    return by;
  }

  #makeRoom(nowMs: number): void {
    for (let i = 0; i < SWEPT_PER_NEW; i++) this.#sweepOne(nowMs);
    while (this.#counters.size >= this.#max) this.#sweepOne(nowMs);
  }

  #sweepOne(nowMs: number): void {
    let next = this.#sweep.next();
    if (next.done === true) {
      this.#sweep = this.#counters.entries();
      next = this.#sweep.next();
      if (next.done === true) return;
    }
    const [key, counter] = next.value;
    const full = this.#counters.size >= this.#max;
    if (counter.expiresMs <= nowMs || (full && !counter.used))
      this.#counters.delete(key);
    else counter.used = false;
  }
}
