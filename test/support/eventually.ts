import {
  setImmediate as turn,
  setTimeout as delay,
} from "node:timers/promises";

/** What is a few turns of the event loop away is seen at once; who waits for longer leaves the processor to what is waited for. */
const TURNS = 50;
const MAX_PAUSE_MS = 20;

/**
 * Waits until `read` returns something, or `check` no longer throws. Fails with the last error, or with `what`, when
 * nothing came of it in time.
 */
export async function eventually<T>(
  read: () => T | undefined | Promise<T | undefined>,
  what: string,
  timeoutMs = 10_000,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  let last: unknown;
  for (let round = 0; ; round++) {
    try {
      const value = await read();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > endMs)
      throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`, {
        cause: last,
      });
    if (round < TURNS) await turn();
    else await delay(Math.min(1 + (round - TURNS), MAX_PAUSE_MS));
  }
}
