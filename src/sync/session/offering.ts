import {
  GoodbyeReason,
  type Feature,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../../model/cursor.ts";
import { degradedOf, missingOf } from "../features.ts";
import { LIMITS } from "../limits.ts";
import { isBeyond, isRecent, isStopped, presentEpoch } from "./limit.ts";
import type { Session, SessionEvent, SessionStep } from "./state.ts";
import { end, still } from "./steps.ts";

const NONE: ReadonlySet<number> = new Set();

/** What the node should serve is another state. */
export function publish(
  session: Session,
  event: Extract<SessionEvent, { type: "published" }>,
): SessionStep {
  const { head, limit, needs, nowMs } = event;
  const { acked, inFlight } = session;
  const next: Session = {
    ...session,
    head,
    limit,
    // A new epoch replaces what the node was ahead of.
    forked: session.forked && isRecent(acked ?? session.head, event),
    // A permission is for one epoch.
    allowed: session.allowed && presentEpoch(event) === presentEpoch(session),
    needs,
    missing: missingOf(needs, featuresOf(session)),
    degraded: degradedOf(needs, featuresOf(session)),
  };
  // It is being sent what it is not to serve. Whether it has gone too far to turn back is said by its next Hello.
  if (inFlight !== undefined && isBeyond(inFlight.to, next))
    return end(
      next,
      GoodbyeReason.PINNED,
      `the node was being sent ${describeCursor(inFlight.to)}, and is now to go no further than ${describeCursor(head)}`,
      0,
    );
  return offer(next, nowMs);
}

/** Sends the head if the node should have it, can use it, and nothing stands in the way. The only place that sends states. */
export function offer(session: Session, nowMs: number): SessionStep {
  const { head, inFlight } = session;
  if (session.at !== "active" || !session.writable) return still(session);
  if (inFlight !== undefined && !inFlight.gone) {
    if (!inFlight.parked || cursorsEqual(inFlight.to, head))
      return still(session);
  } else if (!session.manifestDue && cursorsEqual(session.acked, head))
    return still(session);
  if (
    session.missing.length > 0 ||
    session.refusedRoots.has(head.root) ||
    session.forked ||
    isHeld(session) ||
    isStopped(session)
  )
    return still(session);

  const seq = session.lastSeq + 1n;
  const whole = session.mismatches >= 2;
  const { acked } = session;
  return {
    session: {
      ...session,
      superseded:
        inFlight === undefined
          ? session.superseded
          : [
              ...session.superseded,
              { seq: inFlight.seq, to: inFlight.to },
            ].slice(-LIMITS.superseded),
      lastSeq: seq,
      manifestDue: false,
      writable: false,
      inFlight: {
        seq,
        to: head,
        sentMs: nowMs,
        progressMs: nowMs,
        fedMs: nowMs,
        allowed: session.allowed,
        parked: false,
        gone: false,
        owedBytes: 0,
        asked: NONE,
        progress: "",
      },
    },
    effects: [
      {
        type: "offer",
        seq,
        from:
          session.manifestDue || acked?.epoch !== head.epoch
            ? undefined
            : acked,
        to: head,
        known: !whole && acked?.root === head.root,
        whole,
        allowed: session.allowed,
        priority: session.replaced >= LIMITS.replacements,
      },
    ],
  };
}

/** Whether the head is what the node holds back and nobody has allowed it. */
export function isHeld({ held, head, allowed }: Session): boolean {
  return !allowed && held?.epoch === head.epoch && held.root === head.root;
}

/** The state being pulled is gone: the head takes its place. What the node has of it is kept where the hashes agree. */
export function replace(
  session: Session,
  seq: bigint,
  nowMs: number,
): SessionStep {
  if (session.inFlight?.seq !== seq || session.inFlight.parked)
    return still(session);
  return offer(
    {
      ...session,
      inFlight: { ...session.inFlight, gone: true },
      manifestDue: true,
      replaced: session.replaced + 1,
    },
    nowMs,
  );
}

function featuresOf(session: Session): readonly Feature[] {
  return session.hello?.features ?? [];
}
