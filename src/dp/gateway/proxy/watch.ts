import type { Clock, Timer } from "../../../runtime/clock.ts";

/** What an exchange waits for. */
export type Waiting = "connect" | "write" | "read" | "client";

/** How long each may take without any progress, in milliseconds. */
export type WaitLimits = Readonly<Record<Waiting, number>>;

/** Notices when an exchange makes no progress. One timer serves all the waits of an exchange, one after the other. */
export class Watch {
  readonly #clock: Clock;
  readonly #limits: WaitLimits;
  readonly #expire: (waiting: Waiting) => void;
  #waiting: Waiting = "connect";
  #since = 0;
  #firesAt = Infinity;
  #timer: Timer | undefined;

  constructor(
    clock: Clock,
    limits: WaitLimits,
    expire: (waiting: Waiting) => void,
  ) {
    this.#clock = clock;
    this.#limits = limits;
    this.#expire = expire;
  }

  /** Begins to wait for something, or for the next bit of it. */
  wait(waiting: Waiting): void {
    this.#waiting = waiting;
    this.#since = this.#clock.monotonic();
    const deadline = this.#since + this.#limits[waiting];
    // A timer that fires too early finds that out itself; only one that fires too late must go.
    if (this.#firesAt > deadline) this.#arm(this.#limits[waiting]);
  }

  /** Ends the watch. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#firesAt = Infinity;
  }

  #arm(delayMs: number): void {
    this.#timer?.cancel();
    this.#firesAt = this.#clock.monotonic() + delayMs;
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#firesAt = Infinity;
      const left =
        this.#since + this.#limits[this.#waiting] - this.#clock.monotonic();
      if (left > 0) this.#arm(left);
      else this.#expire(this.#waiting);
    });
  }
}
