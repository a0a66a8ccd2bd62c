import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import { compareRecords, RECORD_BYTES } from "./packed-records.ts";

/** Records of a part that are sorted without a pause, at most: a few milliseconds. */
const SORTED_AT_ONCE = 16 << 10;
/** Records that are sorted by insertion, at most. */
const INSERTED = 16;
/** Where the more significant half of a 64-bit number is on this machine. */
const HIGH_HALF =
  new Uint32Array(BigUint64Array.of(1n).buffer)[0] === 1 ? 1 : 0;
const LOW_HALF = 1 - HIGH_HALF;

/**
 * Brings the numbers of a part's records into the order of the records. As numbers they are sorted outside of JavaScript:
 * each is made of the record's first bits that differ within a part, and of the record's own number.
 */
export function* sortPart(bytes: Buffer, order: Uint32Array): Slices<void> {
  const count = order.length;
  // Only where one entry has very many referrers, and then most of the records begin alike.
  if (count > SORTED_AT_ONCE) {
    yield* sortAlike(bytes, order);
    return;
  }
  const wide = new BigUint64Array(count);
  const halves = new Uint32Array(wide.buffer);
  for (const [i, record] of order.entries()) {
    const at = record * RECORD_BYTES;
    halves[2 * i + HIGH_HALF] =
      ((bytes[at + 1] ?? 0) << 26) | (bytes.readUInt32BE(at + 2) >>> 6);
    halves[2 * i + LOW_HALF] = record;
  }
  wide.sort();
  let to = 0;
  for (let from = 0; from < count; from = to) {
    const head = halves[2 * from + HIGH_HALF];
    for (; to < count && halves[2 * to + HIGH_HALF] === head; to++)
      order[to] = halves[2 * to + LOW_HALF] ?? 0;
    // Almost always the referrers of one entry.
    if (to - from > 1) yield* sortAlike(bytes, order.subarray(from, to));
  }
}

/** Sorts records that begin alike. */
function* sortAlike(bytes: Buffer, order: Uint32Array): Slices<void> {
  if (order.length <= INSERTED) {
    sortFew(bytes, order);
    return;
  }
  const compare = (a: number, b: number): number => compareRecords(bytes, a, b);
  if (order.length <= SLICE_ENTRIES) {
    order.sort(compare);
    return;
  }
  for (let from = 0; from < order.length; from += SLICE_ENTRIES) {
    order.subarray(from, from + SLICE_ENTRIES).sort(compare);
    yield SLICE_ENTRIES;
  }
  for (let width = SLICE_ENTRIES; width < order.length; width *= 2)
    for (let from = 0; from + width < order.length; from += 2 * width)
      yield* mergeRuns(order.subarray(from, from + 2 * width), width, compare);
}

/** Sorts by insertion: the sort of the language costs more than this before it begins. */
function sortFew(bytes: Buffer, order: Uint32Array): void {
  for (let i = 1; i < order.length; i++) {
    const record = order[i] ?? 0;
    let to = i;
    for (; to > 0; to--) {
      const before = order[to - 1] ?? 0;
      if (compareRecords(bytes, before, record) <= 0) break;
      order[to] = before;
    }
    order[to] = record;
  }
}

/** Merges two sorted runs, of which the second begins at `width`. */
function* mergeRuns(
  order: Uint32Array,
  width: number,
  compare: (a: number, b: number) => number,
): Slices<void> {
  const first = order.slice(0, width);
  let j = width;
  for (let i = 0, to = 0; i < first.length; to++) {
    const left = first[i] ?? 0;
    const right = order[j];
    if (right === undefined || compare(left, right) <= 0) {
      order[to] = left;
      i++;
    } else {
      order[to] = right;
      j++;
    }
    if (to % SLICE_ENTRIES === SLICE_ENTRIES - 1) yield SLICE_ENTRIES;
  }
}

/** Where the more significant half of a 64-bit number is on this machine. */
