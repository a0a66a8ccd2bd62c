import type { Clock, Timer } from "../../../runtime/clock.ts";
import type { Usage, UsageStep, UsageStore } from "./usage.ts";

/** How counts are exchanged. */
export interface SyncedUsageOptions {
  readonly clock: Clock;
  readonly everyMs: number;
  /** Counters that wait to be told, at most; those beyond are counted with the others at once. Default 50,000. */
  readonly maxCounters?: number;
}

interface Counter {
  /** What all had counted when they were last asked, our own included. */
  theirs: number;
  /** What was counted here since. */
  ours: number;
  readonly expiresMs: number;
}

const MAX_COUNTERS = 50_000;
/** Counters of one question. */
const MAX_STEPS = 200;

/**
 * Counts here and tells the others now and then: requests do not wait for them, but all together may use somewhat more
 * than the limit before everybody knows. What was not told when the others are away is told when they are back.
 */
export class SyncedUsage implements UsageStore {
  readonly #others: UsageStore;
  readonly #options: SyncedUsageOptions;
  readonly #maxCounters: number;
  readonly #counters = new Map<string, Counter>();
  /** The first questions for a counter, so that many requests at once ask once. */
  readonly #asking = new Map<string, Promise<Counter>>();
  #timer: Timer | undefined;
  #exchange: Promise<void> = Promise.resolve();

  constructor(others: UsageStore, options: SyncedUsageOptions) {
    this.#others = others;
    this.#options = options;
    this.#maxCounters = options.maxCounters ?? MAX_COUNTERS;
  }

  async take(steps: readonly UsageStep[]): Promise<Usage> {
    // What finds no room here is counted where the others count, or it would be counted nowhere.
    if (!this.#hasRoom(steps)) return this.#others.take(steps);
    const counters = await Promise.all(
      steps.map((step) => {
        const counter = this.#counters.get(step.key);
        return counter === undefined
          ? this.#ask(step)
          : Promise.resolve(counter);
      }),
    );
    const before = counters.map(({ theirs, ours }) => theirs + ours);
    const taken = steps.every(({ limit }, i) => (before[i] ?? 0) < limit);
    if (taken)
      for (const [i, { by }] of steps.entries()) {
        const counter = counters[i];
        if (counter !== undefined) counter.ours += by;
      }
    this.#timer ??= this.#options.clock.setTimer(
      this.#options.everyMs,
      this.#onTimer,
    );
    return { taken, before };
  }

  /** Tells what was not told yet, if that can be done. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#exchange;
    // Nobody is there to hear it when it cannot be told.
    await this.#tell().catch(() => undefined);
  }

  #hasRoom(steps: readonly UsageStep[]): boolean {
    const taken = this.#counters.size + this.#asking.size;
    if (taken + steps.length <= this.#maxCounters) return true;
    const missing = steps.filter(
      ({ key }) => !this.#counters.has(key) && !this.#asking.has(key),
    ).length;
    return missing === 0 || taken + missing <= this.#maxCounters;
  }

  #ask(step: UsageStep): Promise<Counter> {
    let asking = this.#asking.get(step.key);
    if (asking === undefined) {
      asking = this.#others
        .take([{ ...step, by: 0, limit: Infinity }])
        .then(({ before: [theirs = 0] }) => {
          const counter = { theirs, ours: 0, expiresMs: step.expiresMs };
          this.#counters.set(step.key, counter);
          return counter;
        })
        .finally(() => this.#asking.delete(step.key));
      this.#asking.set(step.key, asking);
    }
    return asking;
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    // What could not be told is told the next time.
    this.#exchange = this.#tell()
      .catch(() => undefined)
      .then(() => {
        if (this.#counters.size > 0)
          this.#timer ??= this.#options.clock.setTimer(
            this.#options.everyMs,
            this.#onTimer,
          );
      });
  };

  async #tell(): Promise<void> {
    const nowMs = this.#options.clock.now();
    for (const [key, { expiresMs, ours }] of this.#counters)
      // One that nobody uses is asked for again when somebody does.
      if (expiresMs <= nowMs || ours === 0) this.#counters.delete(key);
    const entries = [...this.#counters];
    for (let i = 0; i < entries.length; i += MAX_STEPS) {
      const some = entries.slice(i, i + MAX_STEPS);
      const told = some.map(([, { ours }]) => ours);
      const { before } = await this.#others.take(
        some.map(([key, { ours, expiresMs }]) => ({
          key,
          by: ours,
          limit: Infinity,
          expiresMs,
        })),
      );
      for (const [j, [, counter]] of some.entries()) {
        counter.theirs = (before[j] ?? 0) + (told[j] ?? 0);
        counter.ours -= told[j] ?? 0;
      }
    }
  }
}
