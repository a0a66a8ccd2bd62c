import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { GoodbyeReason } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { describeCursor } from "../../model/cursor.ts";
import type { Session, SessionEffect, SessionStep } from "./state.ts";

/** Ends a session whose node does not keep to the protocol. */
export function breach(session: Session, message: string): SessionStep {
  return end(session, GoodbyeReason.PROTOCOL, message);
}

/** Ends a session with a Goodbye. */
export function end(
  session: Session,
  reason: GoodbyeReason,
  message: string,
  retryAfterMs?: number,
): SessionStep {
  return {
    session: { ...session, at: "ended", inFlight: undefined },
    effects: [{ type: "goodbye", reason, message, retryAfterMs }],
  };
}

/** Nothing is to be done. */
export function still(session: Session): SessionStep {
  return { session, effects: [] };
}

/** Tells people of a node with a state of another history. */
export function forkAlarm(
  head: Cursor,
  serving: Cursor | undefined,
): SessionEffect {
  return {
    type: "alarm",
    message: `the node serves ${describeCursor(serving)}, which this history does not have (head: ${describeCursor(head)}). Nothing is sent to it. Was the control plane restored from an older backup? If its state is the right one: holdfast adopt`,
  };
}
