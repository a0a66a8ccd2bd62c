/** Messages that a node may send at once: it may ask for each bucket of a state by itself. */
const BURST = 1_200;
/** And then so many a second: answers to every state at the fastest pace, and more. */
const PER_SECOND = 100;

/** Bounds how many messages of a node are handled, whatever is in them: each costs the loop that all nodes share. */
export class Intake {
  #left = BURST;
  #atMs: number;

  constructor(nowMs: number) {
    this.#atMs = nowMs;
  }

  /** Counts a message, and says how many milliseconds to wait before the next is read. Times are of a monotonic clock. */
  take(nowMs: number): number {
    const gained = ((nowMs - this.#atMs) * PER_SECOND) / 1_000;
    this.#left = Math.min(BURST, this.#left + gained) - 1;
    this.#atMs = nowMs;
    return this.#left >= 0 ? 0 : Math.ceil((-this.#left * 1_000) / PER_SECOND);
  }
}
