import { setImmediate as turn } from "node:timers/promises";

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
  for (;;) {
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
    await turn();
  }
}
