import { setImmediate as turn } from "node:timers/promises";
import { SLICE_ENTRIES, type Slices } from "../model/slices.ts";
import { systemClock, type Clock } from "./clock.ts";

/** Work goes on for about this long before others get the event loop. */
const TURN_MS = 5;

/** Entries handled before others get the event loop, however fast that went. */
export const TURN_ENTRIES = 8 * SLICE_ENTRIES;

export interface DriveOptions {
  /** Ends the work at its next pause; the promise rejects with the signal's reason. Default: it runs to its end. */
  readonly signal?: AbortSignal;
  /** Hears, before each turn of the event loop, how many entries were handled since the last one. Default: nobody does. */
  readonly onYield?: (entries: number) => void;
  /** What measures the time. Default: the machine's clock. */
  readonly clock?: Pick<Clock, "monotonic">;
}

/** Runs work to its end and lets the event loop turn whenever about 5 ms have passed or `TURN_ENTRIES` were handled. */
export async function driveSlices<T>(
  work: Slices<T>,
  options: DriveOptions = {},
): Promise<T> {
  const clock = options.clock ?? systemClock;
  try {
    options.signal?.throwIfAborted();
    let since = clock.monotonic();
    let entries = 0;
    for (;;) {
      const step = work.next();
      if (step.done === true) return step.value;
      entries += step.value;
      if (entries < TURN_ENTRIES && clock.monotonic() - since < TURN_MS)
        continue;
      options.onYield?.(entries);
      await turn();
      options.signal?.throwIfAborted();
      since = clock.monotonic();
      entries = 0;
    }
  } finally {
    // What was not run to its end gives back what it holds; at the end this does nothing.
    work.return(undefined as never);
  }
}
