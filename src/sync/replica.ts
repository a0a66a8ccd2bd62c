import { NackClass } from "../gen/holdfast/sync/v1/sync_pb.js";
import { arrive, start } from "./replica/arrival.ts";
import { receiveBucket } from "./replica/fetching.ts";
import { confirm, disconnect, tick } from "./replica/liveness.ts";
import {
  committed,
  lossOf,
  mismatch,
  refuse,
  storeFailed,
} from "./replica/outcomes.ts";
import type { Replica, ReplicaEvent, ReplicaStep } from "./replica/state.ts";
import { advance, enter, hangUp, still, violation } from "./replica/steps.ts";

/** Whether a new stream may be opened: not while an apply that outlived its stream is being finished. */
export function mayConnect(replica: Replica): boolean {
  return replica.at === "offline" && replica.apply === undefined;
}

/** The machine: what an event makes of a replica. States x events, invariants and must-nots are in README.md beside this. */
export function stepReplica(
  replica: Replica,
  event: ReplicaEvent,
): ReplicaStep {
  const { nowMs } = event;
  const heard = { ...replica, seenMs: nowMs };
  switch (event.type) {
    case "connected":
      if (!mayConnect(replica)) return hangUp(replica, "connected twice");
      return {
        replica: { ...heard, at: "greeting", lastSeq: 0n, reportMs: nowMs },
        effects: [
          { type: "greet", have: replica.serving, refused: replica.refusals },
        ],
      };
    case "welcomed":
      if (replica.at !== "greeting")
        return hangUp(replica, "Welcome came out of turn");
      return confirm({ ...heard, at: "online" }, event.head);
    case "arrived":
      return arrive(heard, event.frame);
    case "takenUp":
      return replica.next?.seq === event.seq && replica.apply === undefined
        ? start(replica, replica.next, event.lacking)
        : still(replica);
    case "bucketArrived":
      return receiveBucket(heard, event.seq, event.index, event.damage);
    case "verified":
      return advance(replica, event.seq, "verify", (apply) => {
        if (event.damage !== undefined)
          return mismatch(replica, apply, event.damage);
        const loss = lossOf(replica, apply.frame, event.loses);
        return loss === undefined
          ? enter(replica, { ...apply, phase: "prepare" })
          : refuse(replica, apply, NackClass.HELD, [violation(loss)]);
      });
    case "prepared":
      return advance(replica, event.seq, "prepare", (apply) =>
        enter(replica, { ...apply, phase: "persist" }),
      );
    case "refused":
      return advance(replica, event.seq, "prepare", (apply) =>
        refuse(replica, apply, event.class, event.violations),
      );
    case "persisted":
      return advance(replica, event.seq, "persist", (apply) =>
        event.failure === undefined
          ? enter(replica, { ...apply, phase: "commit" })
          : storeFailed(replica, apply, event.failure),
      );
    case "retryDue":
      return advance(replica, event.seq, "retry", (apply) =>
        enter(replica, { ...apply, phase: "persist" }),
      );
    case "committed":
      return advance(replica, event.seq, "commit", (apply) =>
        committed(replica, apply.frame),
      );
    case "heard":
      return confirm(heard, event.head);
    case "ticked":
      return tick(replica, nowMs);
    case "disconnected":
      return disconnect(replica);
    default:
      return event satisfies never;
  }
}
