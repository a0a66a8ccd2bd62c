import { setTimeout as sleep } from "node:timers/promises";

/** A timer that was started. Cancelling it twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/** Where long-lived code gets its time from, so that tests can hand in one that they move themselves. */
export interface Clock {
  /** Milliseconds since the Unix epoch, for people and records. May jump. */
  now(): number;
  /** Milliseconds since some fixed point, for measuring and deadlines. Never goes back. */
  monotonic(): number;
  /** Calls `run` once after `delayMs`. A timer does not keep the process alive. */
  setTimer(delayMs: number, run: () => void): Timer;
  /** Resolves after `delayMs`; rejects with the signal's reason when that is, or already was, aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** Node takes anything longer for one millisecond. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(delayMs, run) {
    const timer = setTimeout(run, Math.min(delayMs, MAX_DELAY_MS));
    timer.unref();
    return {
      cancel: () => {
        clearTimeout(timer);
      },
    };
  },
  async sleep(delayMs, signal) {
    signal?.throwIfAborted();
    try {
      await sleep(
        Math.min(delayMs, MAX_DELAY_MS),
        undefined,
        signal === undefined ? {} : { signal },
      );
    } catch (error) {
      // Node's own is an AbortError, with the reason as its cause.
      signal?.throwIfAborted();
      throw error;
    }
  },
};
