import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type {
  BucketDigest,
  ConnectResponse,
  Manifest,
} from "../../gen/holdfast/sync/v1/sync_pb.js";

const ROOT = /^[0-9a-f]{64}$/;
const EPOCH_CHARS = 64;
const BUCKETS = 1024;
const HASH_BYTES = 32;
const PREDECESSORS = 64;

/**
 * What is wrong with the form of a control plane's message: the rules of sync.proto, by hand, because every message of
 * every change goes through here. A test holds them against the rules themselves.
 */
export function flawOf({ message }: ConnectResponse): string | undefined {
  switch (message.case) {
    case "welcome":
    case "heartbeat":
      return flawOfCursor("head", message.value.head);
    case "manifest":
      return flawOfManifest(message.value);
    case "bucketChunk":
      return flawOfIndex("index", message.value.index);
    case "bucketBatch": {
      const { buckets } = message.value;
      if (buckets.length > BUCKETS)
        return `buckets: ${buckets.length} items, at most ${BUCKETS}`;
      for (const [i, { index }] of buckets.entries()) {
        const wrong = flawOfIndex(`buckets[${i}].index`, index);
        if (wrong !== undefined) return wrong;
      }
      return undefined;
    }
    case "delta": {
      const { from, to } = message.value;
      if (from === undefined) return "from: value is required";
      if (to === undefined) return "to: value is required";
      return flawOfCursor("from", from) ?? flawOfCursor("to", to);
    }
    case "goodbye":
    case undefined:
      return undefined;
    default:
      message satisfies never;
      return undefined;
  }
}

function flawOfManifest(manifest: Manifest): string | undefined {
  const { cursor, buckets, predecessors } = manifest;
  if (cursor === undefined) return "cursor: value is required";
  const flaw = flawOfCursor("cursor", cursor);
  if (flaw !== undefined) return flaw;
  if (buckets.length > BUCKETS)
    return `buckets: ${buckets.length} items, at most ${BUCKETS}`;
  if (predecessors.length > PREDECESSORS)
    return `predecessors: ${predecessors.length} items, at most ${PREDECESSORS}`;
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

function flawOfIndex(field: string, index: number): string | undefined {
  return index < BUCKETS
    ? undefined
    : `${field}: ${index}, must be less than ${BUCKETS}`;
}

function flawOfCursor(
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
