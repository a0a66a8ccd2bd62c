import type {
  NackClass,
  Violation,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type {
  Apply,
  Frame,
  Replica,
  ReplicaEffect,
  ReplicaStep,
} from "./state.ts";

/** Enters a phase that the shell works on. */
export function enter(replica: Replica, apply: Apply): ReplicaStep {
  const { frame, phase } = apply;
  return {
    replica: { ...replica, apply },
    effects:
      phase === "verify" ||
      phase === "prepare" ||
      phase === "persist" ||
      phase === "commit"
        ? [{ type: phase, frame }]
        : [],
  };
}

/** Runs `next` when the shell's word is about the apply that is waited for; otherwise it is late and ignored. */
export function advance(
  replica: Replica,
  seq: bigint,
  phase: Apply["phase"],
  next: (apply: Apply) => ReplicaStep,
): ReplicaStep {
  const { apply } = replica;
  return apply?.frame.seq === seq && apply.phase === phase
    ? next(apply)
    : still(replica);
}

/** Ends an apply, tells the control plane if it is still the one that sent it, and takes up what came meanwhile. */
export function finish(
  replica: Replica,
  effects: readonly ReplicaEffect[],
): ReplicaStep {
  const told =
    replica.at === "online"
      ? effects
      : effects.filter(
          (effect) => effect.type !== "ack" && effect.type !== "nack",
        );
  const { next } = replica;
  return {
    replica: { ...replica, apply: undefined },
    effects:
      next === undefined ? told : [...told, { type: "takeUp", frame: next }],
  };
}

/** Tells the control plane that a state is not applied, and what is served instead. */
export function nackOf(
  replica: Replica,
  frame: Frame,
  refusal: NackClass,
  violations: readonly Violation[],
): ReplicaEffect {
  return {
    type: "nack",
    seq: frame.seq,
    cursor: frame.to,
    kept: replica.serving,
    class: refusal,
    violations,
  };
}

/** What is wrong, with nothing of the configuration to blame. */
export function violation(reason: string): Violation {
  return {
    $typeName: "holdfast.sync.v1.Violation",
    key: "",
    field: "",
    reason,
  };
}

/** Ends the stream. */
export function hangUp(replica: Replica, reason: string): ReplicaStep {
  return { replica, effects: [{ type: "hangUp", reason }] };
}

/** Nothing is to be done. */
export function still(replica: Replica): ReplicaStep {
  return { replica, effects: [] };
}
