import {
  GoodbyeReason,
  type Report,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { describeCursor } from "../../model/cursor.ts";
import { LIMITS } from "../limits.ts";
import type { Session, SessionStep } from "./state.ts";
import { breach, end, still } from "./steps.ts";

/** Progress that is news keeps a frame from counting as stalled. */
export function report(
  session: Session,
  news: Report,
  nowMs: number,
): SessionStep {
  if (session.at === "opening")
    return breach(session, "Report came before Hello");
  const { inFlight } = session;
  if (inFlight === undefined || news.progress?.seq !== inFlight.seq)
    return still(session);
  const progress = `${news.progress.step} ${news.progress.done}`;
  if (progress === inFlight.progress) return still(session);
  return still({
    ...session,
    inFlight: { ...inFlight, progress, progressMs: nowMs },
  });
}

/** Ends what is silent or stalled, and keeps the stream alive. */
export function tick(session: Session, nowMs: number): SessionStep {
  const silentMs = nowMs - session.seenMs;
  if (session.at === "opening" && nowMs - session.heartbeatMs > LIMITS.greetMs)
    return end(
      session,
      GoodbyeReason.STALLED,
      `no Hello came within ${LIMITS.greetMs / 1000} s`,
    );
  if (silentMs > LIMITS.deadMs)
    return end(
      session,
      GoodbyeReason.STALLED,
      `nothing was heard of the node for ${Math.round(silentMs / 1000)} s`,
    );
  const { inFlight } = session;
  if (inFlight !== undefined && !inFlight.parked && !inFlight.gone) {
    const idleMs = nowMs - inFlight.progressMs;
    if (idleMs > LIMITS.stallMs || nowMs - inFlight.fedMs > LIMITS.applyMs)
      return end(
        session,
        GoodbyeReason.STALLED,
        `no answer to ${describeCursor(inFlight.to)} within ${Math.round((nowMs - inFlight.sentMs) / 1000)} s, no progress for ${Math.round(idleMs / 1000)} s`,
      );
  }
  // Skipped, not queued, while the stream has not drained: a heartbeat is worth nothing late.
  if (
    session.at === "opening" ||
    !session.writable ||
    nowMs - session.heartbeatMs < LIMITS.heartbeatMs
  )
    return still(session);
  return {
    session: { ...session, heartbeatMs: nowMs, writable: false },
    effects: [{ type: "heartbeat" }],
  };
}
