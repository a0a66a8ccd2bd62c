/**
 * Bounds the bytes of frames that were handed to streams and have not drained, over all of them. Who waits gets its turn
 * in order, those with priority first, and each session waits with one frame at a time: round robin.
 */
export class WriteBudget {
  readonly #limitBytes: number;
  #usedBytes = 0;
  readonly #waiting: {
    readonly bytes: number;
    readonly priority: boolean;
    readonly admit: () => void;
  }[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Bytes in use now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** How many wait for room. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Takes `bytes` if they are to be had at once, and nobody waits. They must be given back. */
  take(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) return false;
    this.#usedBytes += bytes;
    return true;
  }

  /**
   * Waits for `bytes`, which must be given back. Something larger than the whole budget is let through alone. Rejects with
   * the signal's reason.
   */
  async wait(
    bytes: number,
    signal: AbortSignal,
    priority = false,
  ): Promise<void> {
    signal.throwIfAborted();
    if (this.take(bytes)) return;
    await new Promise<void>((resolve, reject) => {
      const waiter = {
        bytes,
        priority,
        admit: () => {
          signal.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal.reason as Error);
        this.#admit();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      const ordinary = priority
        ? this.#waiting.findIndex((other) => !other.priority)
        : -1;
      if (ordinary === -1) this.#waiting.push(waiter);
      else this.#waiting.splice(ordinary, 0, waiter);
    });
  }

  /** Gives back what was taken or waited for, once. */
  giveBack(bytes: number): void {
    this.#usedBytes -= bytes;
    this.#admit();
  }

  #fits(bytes: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + bytes <= this.#limitBytes;
  }

  #admit(): void {
    for (
      let next = this.#waiting[0];
      next !== undefined && this.#fits(next.bytes);
      next = this.#waiting[0]
    ) {
      this.#waiting.shift();
      // Counted here, not when the waiter runs: otherwise all of them would fit at once.
      this.#usedBytes += next.bytes;
      next.admit();
    }
  }
}
