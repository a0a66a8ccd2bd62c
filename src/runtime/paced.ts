import type { Clock } from "./clock.ts";

export interface PaceOptions {
  readonly clock: Clock;
  /** How long one may be waited for. */
  readonly idleMs: number;
  /** What is thrown when that has passed. */
  readonly idle: () => Error;
  /** Ends the waiting, and is thrown, when aborted. */
  readonly signal: AbortSignal;
}

/** The items of another iterable, as long as each comes in time. One that is waited for in vain is left to itself. */
export async function* paced<T>(
  items: AsyncIterable<T>,
  options: PaceOptions,
): AsyncGenerator<T, void, undefined> {
  const iterator = items[Symbol.asyncIterator]();
  for (;;) {
    const next = await inTime(iterator.next(), options);
    if (next.done === true) return;
    yield next.value;
  }
}

function inTime<T>(work: Promise<T>, options: PaceOptions): Promise<T> {
  const { clock, idleMs, idle, signal } = options;
  return new Promise<T>((resolve, reject) => {
    const settle = (outcome: () => void): void => {
      timer.cancel();
      signal.removeEventListener("abort", aborted);
      outcome();
    };
    const fail = (error: Error): void => {
      settle(() => {
        reject(error);
      });
    };
    const aborted = (): void => {
      fail(signal.reason as Error);
    };
    const timer = clock.setTimer(idleMs, () => {
      fail(idle());
    });
    signal.addEventListener("abort", aborted, { once: true });
    work.then((value) => {
      settle(() => {
        resolve(value);
      });
    }, fail);
    if (signal.aborted) aborted();
  });
}
