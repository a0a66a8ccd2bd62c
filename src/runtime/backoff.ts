/** How waiting between attempts grows. */
export interface BackoffOptions {
  /** Upper bound of the first wait. */
  readonly initialMs: number;
  /** Upper bound of any wait. */
  readonly maxMs: number;
}

/** What the sync protocol asks of nodes: 0.25 s, doubling up to 30 s. */
export const SYNC_BACKOFF: BackoffOptions = { initialMs: 250, maxMs: 30_000 };

/**
 * How long to wait after `failures` failures in a row (1 after the first): anything between nothing and a bound that
 * doubles each time. Spreading over the whole range ("full jitter") keeps a herd from coming back as a herd.
 *
 * @param random A number from 0 up to, not including, 1.
 */
export function backoffMs(
  failures: number,
  options: BackoffOptions,
  random: () => number,
): number {
  const bound = options.initialMs * 2 ** Math.max(0, failures - 1);
  return random() * Math.min(options.maxMs, bound);
}

/** The waits of one series of failures, first to last, without an end. A new series starts anew. */
export function* backoffDelays(
  options: BackoffOptions,
  random: () => number,
): Generator<number, never, undefined> {
  for (let failures = 1; ; failures++)
    yield backoffMs(failures, options, random);
}
