import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { cursorsEqual } from "../../model/cursor.ts";
import { LIMITS } from "../limits.ts";
import type { Replica, ReplicaStep } from "./state.ts";
import { hangUp, still } from "./steps.ts";

/** The control plane has named its newest state. */
export function confirm(
  replica: Replica,
  head: Cursor | undefined,
): ReplicaStep {
  return head !== undefined && cursorsEqual(head, replica.serving)
    ? { replica, effects: [{ type: "confirmed", cursor: head }] }
    : still(replica);
}

/** The stream is gone. */
export function disconnect(replica: Replica): ReplicaStep {
  const offline = { ...replica, at: "offline" as const, next: undefined };
  const { apply } = replica;
  if (apply === undefined) return still(offline);
  // What is being made durable is finished: the disk must not be left ahead of what is served.
  if (apply.phase === "persist" || apply.phase === "commit")
    return still(offline);
  return {
    replica: { ...offline, apply: undefined },
    effects: [{ type: "discard", frame: apply.frame }],
  };
}

/** Hangs up on silence, and reports now and then. */
export function tick(replica: Replica, nowMs: number): ReplicaStep {
  if (replica.at === "offline") return still(replica);
  if (nowMs - replica.seenMs > LIMITS.deadMs)
    return hangUp(
      replica,
      `nothing was heard of the control plane for ${Math.round((nowMs - replica.seenMs) / 1000)} s`,
    );
  if (nowMs - replica.reportMs < LIMITS.heartbeatMs) return still(replica);
  return {
    replica: { ...replica, reportMs: nowMs },
    effects: [{ type: "report" }],
  };
}
