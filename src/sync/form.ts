import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import type { BucketDigest } from "../gen/holdfast/sync/v1/sync_pb.js";

// Rules of sync.proto by hand, for messages that come with every change: the general checker costs more than all the rest
// of taking one in. Tests hold them against the rules themselves. Each says what is wrong; nothing when nothing is.

const ROOT = /^[0-9a-f]{64}$/;
const EPOCH_CHARS = 64;
const HASH_BYTES = 32;
/** How many buckets there are, and so how many a message may name. */
export const BUCKETS = 1024;

/** A list of buckets. */
export function flawOfDigests(
  buckets: readonly BucketDigest[],
): string | undefined {
  if (buckets.length > BUCKETS)
    return `buckets: ${buckets.length} items, at most ${BUCKETS}`;
  for (const [i, digest] of buckets.entries()) {
    const wrong = flawOfDigest(`buckets[${i}]`, digest);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function flawOfDigest(
  field: string,
  { index, hash }: BucketDigest,
): string | undefined {
  if (hash.length !== HASH_BYTES)
    return `${field}.hash: ${hash.length} bytes, must be ${HASH_BYTES}`;
  return flawOfIndex(`${field}.index`, index);
}

/** The number of a bucket. */
export function flawOfIndex(field: string, index: number): string | undefined {
  return index < BUCKETS
    ? undefined
    : `${field}: ${index}, must be less than ${BUCKETS}`;
}

/** A cursor, where there is one. */
export function flawOfCursor(
  field: string,
  cursor: Cursor | undefined,
): string | undefined {
  if (cursor === undefined) return undefined;
  // Characters, not UTF-16 units; there are at least half as many.
  if (
    cursor.epoch.length > EPOCH_CHARS &&
    Array.from(cursor.epoch.slice(0, 2 * EPOCH_CHARS + 1)).length > EPOCH_CHARS
  )
    return `${field}.epoch: more than ${EPOCH_CHARS} characters`;
  if (!ROOT.test(cursor.root))
    return `${field}.root: must be 64 lower-case hexadecimal digits`;
  return undefined;
}
