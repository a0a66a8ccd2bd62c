import { type Slices } from "../../../model/slices.ts";

/** Items sorted or merged between two yields. */
const RUN = 64;

/** A sorted copy of `items`, made in slices: runs are sorted, then merged two by two. Stable. */
export function* sortSlices<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number,
): Slices<T[]> {
  let from = [...items];
  for (let start = 0; start < from.length; start += RUN) {
    const run = from.slice(start, start + RUN).sort(compare);
    for (const [i, item] of run.entries()) from[start + i] = item;
    yield run.length;
  }
  let to = new Array<T>(from.length);
  for (let width = RUN; width < from.length; width *= 2) {
    let handled = 0;
    for (let start = 0; start < from.length; start += 2 * width) {
      const middle = Math.min(start + width, from.length);
      const end = Math.min(start + 2 * width, from.length);
      let left = start;
      let right = middle;
      for (let at = start; at < end; at++) {
        const a = from[left];
        const b = from[right];
        // Both are there whenever both halves have something left.
        const takeLeft =
          left < middle && (right >= end || compare(a as T, b as T) <= 0);
        to[at] = (takeLeft ? a : b) as T;
        if (takeLeft) left++;
        else right++;
        if (++handled === RUN) {
          yield handled;
          handled = 0;
        }
      }
    }
    [from, to] = [to, from];
  }
  return from;
}
