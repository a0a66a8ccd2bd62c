import { LIMITS } from "../limits.ts";
import { mismatch } from "./outcomes.ts";
import type { Apply, Replica, ReplicaStep } from "./state.ts";
import { enter, hangUp, still } from "./steps.ts";

/** Asks for as many buckets as the window holds, or goes on when all are there. */
export function fetchMore(replica: Replica, apply: Apply): ReplicaStep {
  if (apply.wanted.length === 0 && apply.outstanding.length === 0)
    return enter(replica, { ...apply, phase: "verify" });
  let bytes = apply.outstanding.reduce((sum, bucket) => sum + bucket.size, 0);
  // In halves: a request for each bucket that came would be a message a bucket.
  if (
    apply.wanted.length === 0 ||
    (apply.outstanding.length > 0 && bytes > LIMITS.bucketWindowBytes / 2)
  )
    return still({ ...replica, apply });
  let count = 0;
  for (const bucket of apply.wanted) {
    const first = apply.outstanding.length === 0 && count === 0;
    if (!first && bytes + bucket.size > LIMITS.bucketWindowBytes) break;
    bytes += bucket.size;
    count++;
  }
  const asked = apply.wanted.slice(0, count);
  return {
    replica: {
      ...replica,
      apply: {
        ...apply,
        wanted: apply.wanted.slice(count),
        outstanding: [...apply.outstanding, ...asked],
      },
    },
    effects:
      count === 0
        ? []
        : [{ type: "requestBuckets", seq: apply.frame.seq, buckets: asked }],
  };
}

/** A bucket came: the next are asked for, or all are there. */
export function receiveBucket(
  replica: Replica,
  seq: bigint,
  index: number,
  damage: string | undefined,
): ReplicaStep {
  const { apply } = replica;
  // Buckets of a manifest that was replaced may still be on the way.
  if (apply?.frame.seq !== seq || apply.phase !== "receive")
    return seq > replica.lastSeq
      ? hangUp(replica, `a bucket came for ${seq}, which was not sent`)
      : still(replica);
  // Mostly the first: they come in the order asked for.
  const at = apply.outstanding.findIndex((bucket) => bucket.index === index);
  if (at === -1)
    return hangUp(replica, `bucket ${index} came, which was not asked for`);
  if (damage !== undefined)
    return mismatch(replica, apply, `bucket ${index} ${damage}`);
  return fetchMore(replica, {
    ...apply,
    outstanding:
      at === 0
        ? apply.outstanding.slice(1)
        : apply.outstanding.filter((_bucket, i) => i !== at),
  });
}
