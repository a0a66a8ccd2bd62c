import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  NackClass,
  type BucketDigest,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../../model/cursor.ts";
import { LIMITS } from "../limits.ts";
import { fetchMore } from "./fetching.ts";
import type { Frame, Replica, ReplicaEffect, ReplicaStep } from "./state.ts";
import { hangUp, nackOf, violation } from "./steps.ts";

/** A state was offered: it is looked at now, or when what is being applied is done. */
export function arrive(replica: Replica, frame: Frame): ReplicaStep {
  if (replica.at !== "online")
    return hangUp(replica, `a ${frame.type} came before Welcome`);
  if (frame.seq <= replica.lastSeq)
    return hangUp(
      replica,
      `a ${frame.type} came with seq ${frame.seq} after ${replica.lastSeq}`,
    );
  const flaw = flawOf(frame);
  if (flaw !== undefined) return hangUp(replica, flaw);
  // Offered although it was refused: somebody asked for another try.
  const refusals = replica.refusals.filter(
    (refusal) => refusal.cursor?.root !== frame.to.root,
  );
  const forget: readonly ReplicaEffect[] =
    refusals.length === replica.refusals.length
      ? []
      : [{ type: "remember", refusals }];
  const known = { ...replica, lastSeq: frame.seq, refusals, next: frame };
  switch (replica.apply?.phase) {
    case undefined:
      return {
        replica: known,
        effects: [...forget, { type: "takeUp", frame }],
      };
    case "receive":
    case "retry":
      // Replaced: a manifest whose buckets are gone, or a state that could not be stored, by a newer one.
      return {
        replica: { ...known, apply: undefined },
        effects: [
          ...forget,
          { type: "discard", frame: replica.apply.frame },
          { type: "takeUp", frame },
        ],
      };
    case "verify":
    case "prepare":
    case "persist":
    case "commit":
      return { replica: known, effects: forget };
  }
}

/** Begins to apply a state, or says why not. */
export function start(
  replica: Replica,
  frame: Frame,
  lacking: readonly BucketDigest[],
): ReplicaStep {
  const idle = { ...replica, next: undefined };
  if (frame.type === "delta" && !cursorsEqual(frame.from, replica.serving))
    return {
      replica: idle,
      effects: [
        { type: "discard", frame },
        nackOf(idle, frame, NackClass.ROOT_MISMATCH, [
          violation(
            `the delta is from ${describeCursor(frame.from)}, served is ${describeCursor(replica.serving)}`,
          ),
        ]),
      ],
    };
  const stale = staleness(replica.serving, frame.to);
  if (stale !== undefined)
    return {
      replica: idle,
      effects: [
        { type: "discard", frame },
        nackOf(idle, frame, NackClass.STALE, [violation(stale)]),
      ],
    };
  // Equal cursors, equal content: prepared, durable and served already.
  if (lacking.length === 0 && cursorsEqual(frame.to, replica.serving))
    return {
      replica: idle,
      effects: [
        { type: "ack", seq: frame.seq, cursor: frame.to },
        { type: "discard", frame },
        { type: "confirmed", cursor: frame.to },
      ],
    };
  return fetchMore(idle, {
    frame,
    phase: "receive",
    wanted: lacking,
    outstanding: [],
    failures: 0,
  });
}

/** Why a state would be a step back within one history; undefined when it is none. */
function staleness(
  serving: Cursor | undefined,
  to: Cursor,
): string | undefined {
  if (serving?.epoch !== to.epoch) return undefined;
  if (to.revision < serving.revision)
    return `revision ${to.revision} is older than the served ${serving.revision} of the same epoch`;
  if (to.revision === serving.revision && to.root !== serving.root)
    return `revision ${to.revision} has root ${to.root} and is served with root ${serving.root}`;
  return undefined;
}

/** What is wrong with a frame's form: checked before anything is allocated for it. */
function flawOf(frame: Frame): string | undefined {
  if (frame.type === "delta")
    return frame.from.epoch === frame.to.epoch
      ? undefined
      : `a delta leads from epoch ${frame.from.epoch} to epoch ${frame.to.epoch}`;
  const { buckets, totals } = frame;
  if (totals.bytes > BigInt(LIMITS.snapshotBytes))
    return `the manifest announces ${totals.bytes} bytes, more than ${LIMITS.snapshotBytes}`;
  if (buckets.length === 0) return undefined;
  let previous = -1;
  let bytes = 0;
  for (const bucket of buckets) {
    if (bucket.index <= previous || bucket.index > 1023)
      return `the manifest has bucket ${bucket.index} after ${previous}`;
    previous = bucket.index;
    bytes += bucket.size;
  }
  if (buckets.length !== totals.buckets || BigInt(bytes) !== totals.bytes)
    return `the manifest has ${buckets.length} buckets of ${bytes} bytes and announces ${totals.buckets} of ${totals.bytes}`;
  return undefined;
}
