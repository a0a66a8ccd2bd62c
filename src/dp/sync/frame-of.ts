import type { Delta, Manifest } from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Frame } from "../../sync/replica/state.ts";
import { WireError } from "./staging.ts";

/**
 * The frame of a message.
 *
 * @throws WireError when it cannot be one.
 */
export function frameOf(message: Manifest | Delta): Frame {
  const { seq } = message;
  return message.$typeName === "holdfast.sync.v1.Manifest"
    ? {
        type: "manifest",
        seq,
        to: required(message.cursor, "Manifest.cursor"),
        buckets: message.buckets,
        totals: message.totals ?? { buckets: 0, entries: 0n, bytes: 0n },
        predecessors: message.predecessors,
        allowed: message.allowed,
      }
    : {
        type: "delta",
        seq,
        from: required(message.from, "Delta.from"),
        to: required(message.to, "Delta.to"),
      };
}

/** @throws WireError when there is none. */
export function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new WireError(`${what} is missing`);
  return value;
}
