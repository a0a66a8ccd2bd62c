import type { Clock, Timer } from "../../src/runtime/clock.ts";

interface Waiting {
  readonly at: number;
  readonly run: () => void;
}

/** A clock that stands still until a test moves it. Both its times are the same. */
export class ManualClock implements Clock {
  #now: number;
  readonly #timers = new Set<Waiting>();

  constructor(now = Date.UTC(2030, 0, 1)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const waiting = { at: this.#now + delayMs, run };
    this.#timers.add(waiting);
    return { cancel: () => this.#timers.delete(waiting) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        timer.cancel();
        reject(signal?.reason as Error);
      };
      const timer = this.setTimer(delayMs, () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      });
      if (signal?.aborted === true) abort();
      else signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** How many timers wait. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Moves on, and runs what is due, in its order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      let next: Waiting | undefined;
      for (const timer of this.#timers)
        if (timer.at <= end && (next === undefined || timer.at < next.at))
          next = timer;
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = end;
  }
}
