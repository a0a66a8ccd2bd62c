import type {
  ConnectResponse,
  Manifest,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import {
  BUCKETS,
  flawOfCursor,
  flawOfDigests,
  flawOfIndex,
} from "../../sync/form.ts";

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
  if (predecessors.length > PREDECESSORS)
    return `predecessors: ${predecessors.length} items, at most ${PREDECESSORS}`;
  return flawOfDigests(buckets);
}
