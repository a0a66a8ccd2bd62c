import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { NackClass } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { degradedOf, missingOf } from "../features.ts";
import { isRecent } from "./limit.ts";
import type { Session, SessionEvent, SessionStep } from "./state.ts";
import { forkAlarm } from "./steps.ts";

/** A node has said who it is and what it has. */
export function greet(
  session: Session,
  event: Extract<SessionEvent, { type: "greeted" }>,
): SessionStep {
  const { hello, nowMs, allowed } = event;
  // Of the epoch that was looked at: another may have come meanwhile.
  const forked =
    event.forked && hello.have !== undefined && isRecent(hello.have, session);
  const missing = missingOf(session.needs, hello.features);
  const refusedRoots = new Set(event.refusedRoots);
  let held: Cursor | undefined;
  for (const refusal of hello.refused) {
    if (refusal.cursor === undefined) continue;
    if (isLasting(refusal.class)) refusedRoots.add(refusal.cursor.root);
    // A node that has lost what it was protecting, or is back in the held epoch (it fell back), protects nothing.
    if (
      refusal.class === NackClass.HELD &&
      hello.have !== undefined &&
      hello.have.epoch !== refusal.cursor.epoch
    )
      held = refusal.cursor;
  }
  return {
    session: {
      ...session,
      at: "greeted",
      hello,
      missing,
      degraded: degradedOf(session.needs, hello.features),
      acked: hello.have,
      refusedRoots,
      forked,
      held,
      allowed,
      // The Welcome is on its way: nothing follows before it has drained.
      writable: false,
      seenMs: nowMs,
      heartbeatMs: nowMs,
    },
    effects: [
      { type: "welcome", missing },
      ...(forked ? [forkAlarm(session.head, hello.have)] : []),
    ],
  };
}

/** Whether a class speaks of the content, so that sending the same again cannot help. */
export function isLasting(refusal: NackClass): boolean {
  return (
    refusal === NackClass.INVALID ||
    refusal === NackClass.UNSUPPORTED ||
    refusal === NackClass.CRASHED
  );
}
