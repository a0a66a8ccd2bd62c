/**
 * Work over many entries that can pause. Each yield says how many entries were handled since the last one; the caller
 * decides whether to go on at once or to let others run first. Nothing here waits, so that the model stays pure.
 */
export type Slices<T> = Generator<number, T, undefined>;

/** Entries handled between two yields, at most. */
export const SLICE_ENTRIES = 512;

/** Runs work to its end without a pause. */
export function runSlices<T>(work: Slices<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
