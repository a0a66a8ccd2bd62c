import { create } from "@bufbuild/protobuf";
import {
  NackClass,
  RefusalSchema,
  type Violation,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../limits.ts";
import type { Apply, Frame, Replica, ReplicaStep } from "./state.ts";
import { finish, nackOf, violation } from "./steps.ts";

/** The state is served. What was held back before it, to protect another history, no longer matters. */
export function committed(replica: Replica, frame: Frame): ReplicaStep {
  const refusals =
    replica.serving?.epoch === frame.to.epoch
      ? replica.refusals
      : replica.refusals.filter(({ class: each }) => each !== NackClass.HELD);
  return finish({ ...replica, serving: frame.to, refusals }, [
    { type: "ack", seq: frame.seq, cursor: frame.to },
    ...(refusals.length === replica.refusals.length
      ? []
      : [{ type: "remember" as const, refusals }]),
    // With another state waiting, or nobody there, it is not known to be the newest.
    ...(replica.next === undefined && replica.at === "online"
      ? [{ type: "confirmed" as const, cursor: frame.to }]
      : []),
  ]);
}

/** Why a state of a foreign history is held back; undefined when it may be taken. */
export function lossOf(
  { serving }: Replica,
  frame: Frame,
  loses: { readonly removed: number; readonly held: number } | undefined,
): string | undefined {
  if (
    frame.type === "delta" ||
    serving === undefined ||
    loses === undefined ||
    serving.epoch === frame.to.epoch ||
    frame.predecessors.includes(serving.epoch) ||
    frame.allowed ||
    loses.removed * 2 <= loses.held
  )
    return undefined;
  return `epoch ${frame.to.epoch} is not the served ${serving.epoch} and has not replaced it; following it would remove ${loses.removed} of ${loses.held} entries. If that is meant: holdfast nodes allow`;
}

/** What came is not what was announced. */
export function mismatch(
  replica: Replica,
  apply: Apply,
  reason: string,
): ReplicaStep {
  return finish(replica, [
    { type: "discard", frame: apply.frame },
    nackOf(replica, apply.frame, NackClass.ROOT_MISMATCH, [violation(reason)]),
  ]);
}

/** The state is not applied, and remembered as such. */
export function refuse(
  replica: Replica,
  apply: Apply,
  refusal: NackClass,
  violations: readonly Violation[],
): ReplicaStep {
  const kept = violations.slice(0, LIMITS.violations);
  const refusals = [
    ...replica.refusals.filter(
      (known) => known.cursor?.root !== apply.frame.to.root,
    ),
    create(RefusalSchema, {
      class: refusal,
      cursor: apply.frame.to,
      violations: kept.slice(0, LIMITS.rememberedViolations).map((each) => ({
        ...each,
        reason: each.reason.slice(0, LIMITS.rememberedReasonChars),
      })),
    }),
  ].slice(-LIMITS.refusals);
  return finish({ ...replica, refusals }, [
    { type: "discard", frame: apply.frame },
    { type: "remember", refusals },
    nackOf(replica, apply.frame, refusal, kept),
  ]);
}

/** The disk did not take the state: it is tried again, unless another waits. */
export function storeFailed(
  replica: Replica,
  apply: Apply,
  reason: string,
): ReplicaStep {
  const delayMs = Math.min(
    LIMITS.storeRetryMinMs * 2 ** apply.failures,
    LIMITS.storeRetryMaxMs,
  );
  const nack =
    replica.at === "online"
      ? [nackOf(replica, apply.frame, NackClass.LOCAL_IO, [violation(reason)])]
      : [];
  if (replica.next !== undefined || replica.at !== "online")
    return finish(replica, [{ type: "discard", frame: apply.frame }, ...nack]);
  return {
    replica: {
      ...replica,
      apply: { ...apply, phase: "retry", failures: apply.failures + 1 },
    },
    effects: [
      // Once: the control plane knows, and the retries are ours.
      ...(apply.failures === 0 ? nack : []),
      { type: "retryLater", seq: apply.frame.seq, delayMs },
    ],
  };
}
