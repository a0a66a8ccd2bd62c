import { Doorbell } from "../../runtime/doorbell.ts";

/**
 * A bell that rings with each event of a source. It is taken off when the signal is aborted, which a call's is however the
 * call ends: a generator that waits at a yield for a client that is gone is not resumed, so that its finally may never run.
 */
export function followed(
  signal: AbortSignal,
  source: (ring: () => void) => () => void,
): Doorbell {
  const bell = new Doorbell();
  if (signal.aborted) return bell;
  const stop = source(() => {
    bell.ring();
  });
  signal.addEventListener("abort", stop, { once: true });
  return bell;
}
