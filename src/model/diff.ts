import { BUCKET_COUNT, type Bucket, type Entry } from "./bucket.ts";
import { SLICE_ENTRIES, type Slices } from "./slices.ts";
import type { Changes, Snapshot } from "./snapshot.ts";

/** What must be done to `from` to get `to`: the puts and deletes in no particular order. */
export function* diffSlices(from: Snapshot, to: Snapshot): Slices<Changes> {
  const puts: Entry[] = [];
  const deletes: string[] = [];
  let handled = 0;
  for (let index = 0; index < BUCKET_COUNT; index++) {
    const a = from.bucket(index);
    const b = to.bucket(index);
    if (a === b) continue;
    diffBucket(a, b, puts, deletes);
    handled += (a?.count ?? 0) + (b?.count ?? 0);
    if (handled >= SLICE_ENTRIES) {
      yield handled;
      handled = 0;
    }
  }
  return { puts, deletes };
}

/** Adds what must be done to one bucket to get the other. */
export function diffBucket(
  a: Bucket | undefined,
  b: Bucket | undefined,
  puts: Entry[],
  deletes: string[],
): void {
  const aCount = a?.count ?? 0;
  const bCount = b?.count ?? 0;
  let i = 0;
  let j = 0;
  while (i < aCount || j < bCount) {
    const before = i < aCount ? a?.keyAt(i) : undefined;
    const after = j < bCount ? b?.keyAt(j) : undefined;
    if (after === undefined || (before !== undefined && before < after)) {
      if (before !== undefined) deletes.push(before);
      i++;
      continue;
    }
    const value = b?.valueAt(j) ?? new Uint8Array();
    if (before !== after) {
      puts.push({ key: after, value });
      j++;
      continue;
    }
    if (Buffer.compare(a?.valueAt(i) ?? new Uint8Array(), value) !== 0)
      puts.push({ key: after, value });
    i++;
    j++;
  }
}
