import { answerAck, answerNack, requestBuckets } from "./session/answers.ts";
import { greet } from "./session/greeting.ts";
import { report, tick } from "./session/liveness.ts";
import { offer, publish, replace } from "./session/offering.ts";
import type { Session, SessionEvent, SessionStep } from "./session/state.ts";
import { breach, end, still } from "./session/steps.ts";

/** The machine: what an event makes of a session. States x events, invariants and must-nots are in README.md beside this. */
export function stepSession(
  session: Session,
  event: SessionEvent,
): SessionStep {
  if (session.at === "ended") return { session, effects: [] };
  const { nowMs } = event;
  switch (event.type) {
    case "greeted":
      return session.at === "opening"
        ? greet(session, event)
        : breach(session, "Hello was sent twice");
    case "snapshotRequested":
      if (session.at !== "greeted")
        return breach(
          session,
          session.at === "opening"
            ? "SnapshotRequest came before Hello"
            : "SnapshotRequest was sent twice",
        );
      return offer(
        { ...session, at: "active", manifestDue: true, seenMs: nowMs },
        nowMs,
      );
    case "published":
      return publish(session, event);
    case "bucketsRequested":
      return requestBuckets({ ...session, seenMs: nowMs }, event);
    case "bucketsWritten":
      return still({
        ...session,
        inFlight: session.inFlight && {
          ...session.inFlight,
          owedBytes: Math.max(0, session.inFlight.owedBytes - event.bytes),
          progressMs: nowMs,
          fedMs: nowMs,
        },
      });
    case "acked":
      return answerAck({ ...session, seenMs: nowMs }, event.ack, nowMs);
    case "nacked":
      return answerNack({ ...session, seenMs: nowMs }, event.nack, nowMs);
    case "reported":
      return report({ ...session, seenMs: nowMs }, event.report, nowMs);
    case "drained":
      return offer(
        {
          ...session,
          writable: true,
          // A heartbeat since then is what has drained: that feeds nothing.
          inFlight:
            session.inFlight === undefined ||
            session.inFlight.sentMs < session.heartbeatMs
              ? session.inFlight
              : { ...session.inFlight, progressMs: nowMs, fedMs: nowMs },
        },
        nowMs,
      );
    case "ticked":
      return tick(session, nowMs);
    case "retried":
      return offer(
        { ...session, refusedRoots: new Set(), held: undefined },
        nowMs,
      );
    case "allowed":
      return offer({ ...session, allowed: true }, nowMs);
    case "placed":
      return offer({ ...session, forked: event.forked }, nowMs);
    case "unpinned":
      return replace(session, event.seq, nowMs);
    case "dismissed":
      return end(session, event.reason, event.message, event.retryAfterMs);
    case "broke":
      return breach(session, event.message);
    case "disconnected":
      return still({ ...session, at: "ended", inFlight: undefined });
    default:
      return event satisfies never;
  }
}
