import type { Clock } from "./clock.ts";

/**
 * Wakes the one who waits. Rings while nobody waits are remembered as a single one: whoever wakes looks at how things
 * are now instead of being told each step, so that a slow one costs nothing.
 */
export class Doorbell {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /**
   * Resolves with "rung" after a ring, at once when there was one since the last wait, or with "timeout" when none came
   * in time. Rejects with the signal's reason when that is, or already was, aborted. One waits at a time.
   */
  async wait(
    signal: AbortSignal,
    clock: Clock,
    timeoutMs: number,
  ): Promise<"rung" | "timeout"> {
    signal.throwIfAborted();
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          timer.cancel();
          signal.removeEventListener("abort", wake);
          this.#wake = undefined;
          resolve();
        };
        const timer = clock.setTimer(timeoutMs, wake);
        signal.addEventListener("abort", wake, { once: true });
        this.#wake = wake;
      });
      signal.throwIfAborted();
    }
    const rung = this.#rung;
    this.#rung = false;
    return rung ? "rung" : "timeout";
  }
}
