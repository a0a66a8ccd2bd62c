import type { Clock } from "../../../runtime/clock.ts";

/** How many requests a client may give up within a window. */
const RESETS = 200;
/** How many settings and pings it may send within a window. */
const CONTROLS = 200;
/** The window of both, in milliseconds. */
const WINDOW_MS = 10_000;

/**
 * Counts what an HTTP/2 client can make a server do for next to nothing: requests that it takes back at once, and frames
 * that must be answered. Too much of it within a window, and the connection is ended.
 */
export class FloodGuard {
  readonly #clock: Clock;
  readonly #onFlood: () => void;
  #since = -Infinity;
  #resets = 0;
  #controls = 0;

  constructor(clock: Clock, onFlood: () => void) {
    this.#clock = clock;
    this.#onFlood = onFlood;
  }

  /** The client has taken a request back. */
  reset(): void {
    this.#turn();
    if (++this.#resets === RESETS) this.#onFlood();
  }

  /** The client has sent settings or a ping. */
  control(): void {
    this.#turn();
    if (++this.#controls === CONTROLS) this.#onFlood();
  }

  #turn(): void {
    const now = this.#clock.monotonic();
    if (now - this.#since < WINDOW_MS) return;
    this.#since = now;
    this.#resets = 0;
    this.#controls = 0;
  }
}
