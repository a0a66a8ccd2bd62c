import type { Clock, Timer } from "../../runtime/clock.ts";
import { LIMITS } from "../../sync/limits.ts";

/** Lets something happen at once after some calm, and otherwise at most every `paceMs`, with the newest state of that moment. */
export class Pacer {
  readonly #clock: Clock;
  readonly #run: () => void;
  #lastMs = -Infinity;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock;
    this.#run = run;
  }

  /** Something is new. */
  poke(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    const waitMs = this.#lastMs + LIMITS.paceMs - this.#clock.monotonic();
    if (waitMs <= 0) {
      this.#fire();
      return;
    }
    this.#timer = this.#clock.setTimer(waitMs, () => {
      this.#timer = undefined;
      this.#fire();
    });
  }

  /** What waits for its time happens now. */
  flush(): void {
    if (this.#timer === undefined) return;
    this.#timer.cancel();
    this.#timer = undefined;
    this.#fire();
  }

  /** Nothing happens any more. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #fire(): void {
    this.#lastMs = this.#clock.monotonic();
    this.#run();
  }
}
