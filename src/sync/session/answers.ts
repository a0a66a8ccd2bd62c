import {
  GoodbyeReason,
  NackClass,
  type Ack,
  type Nack,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../../model/cursor.ts";
import { LIMITS } from "../limits.ts";
import { offer } from "./offering.ts";
import type { InFlight, Session, SessionEvent, SessionStep } from "./state.ts";
import { breach, end, forkAlarm, still } from "./steps.ts";

/** The node asks for buckets of the Manifest that it was sent. */
export function requestBuckets(
  session: Session,
  event: Extract<SessionEvent, { type: "bucketsRequested" }>,
): SessionStep {
  const expected = expect(session, event.seq, "BucketRequest");
  if (expected.type !== "current") return expected.step;
  const { inFlight } = expected;
  // What it was to be written from is gone, and will be replaced.
  if (inFlight.gone) return still(session);
  if (event.unknown > 0)
    return breach(
      session,
      `BucketRequest names ${event.unknown} bucket(s) that ${describeCursor(inFlight.to)} does not have`,
    );
  // A request costs something until it is written, however small its buckets are: there are as many as buckets at most.
  const asked = new Set(inFlight.asked);
  for (const { index } of event.buckets) {
    if (asked.has(index))
      return breach(session, `bucket ${index} is asked for a second time`);
    asked.add(index);
  }
  const owedBytes = inFlight.owedBytes + event.bytes;
  // A single bucket may be larger than the window, or it could never be fetched. Twice the window, since a node may have
  // a bucket and ask for the next before its write is known here to have drained.
  if (
    owedBytes > 2 * LIMITS.bucketWindowBytes &&
    (inFlight.owedBytes > 0 || event.buckets.length > 1)
  )
    return breach(
      session,
      `BucketRequest makes ${owedBytes} bytes outstanding, more than twice ${LIMITS.bucketWindowBytes}`,
    );
  return {
    session: {
      ...session,
      inFlight: {
        ...inFlight,
        owedBytes,
        asked,
        progressMs: event.nowMs,
        fedMs: event.nowMs,
      },
    },
    effects: [
      {
        type: "writeBuckets",
        seq: inFlight.seq,
        of: inFlight.to,
        indexes: event.buckets.map((bucket) => bucket.index),
      },
    ],
  };
}

/** The node serves what it was sent. */
export function answerAck(
  session: Session,
  ack: Ack,
  nowMs: number,
): SessionStep {
  const expected = expect(session, ack.seq, "Ack");
  if (expected.type !== "current") {
    const late = session.superseded.some(
      ({ seq, to }) => seq === ack.seq && cursorsEqual(to, ack.cursor),
    );
    // What it serves is told by its own word, however late; what is in flight still awaits its answer.
    return late
      ? still({ ...expected.step.session, acked: ack.cursor })
      : expected.step;
  }
  if (!cursorsEqual(ack.cursor, expected.inFlight.to))
    return breach(
      session,
      `Ack of ${ack.seq} is for ${describeCursor(ack.cursor)}, sent was ${describeCursor(expected.inFlight.to)}`,
    );
  return offer(
    {
      ...session,
      acked: ack.cursor,
      inFlight: undefined,
      mismatches: 0,
      replaced: 0,
      held: undefined,
      allowed: false,
      lastAck: ack,
      lastNack: undefined,
    },
    nowMs,
  );
}

/** The node does not serve what it was sent: whether and how it is sent again depends on why. */
export function answerNack(
  session: Session,
  nack: Nack,
  nowMs: number,
): SessionStep {
  const expected = expect(session, nack.seq, "Nack");
  if (expected.type !== "current") return expected.step;
  const { inFlight } = expected;
  if (!cursorsEqual(nack.cursor, inFlight.to))
    return breach(
      session,
      `Nack of ${nack.seq} is for ${describeCursor(nack.cursor)}, sent was ${describeCursor(inFlight.to)}`,
    );
  const known = { ...session, acked: nack.kept, lastNack: nack };
  switch (nack.class) {
    case NackClass.LOCAL_IO:
      return offer(
        // It got the announced root, or it would not have tried to store it.
        { ...known, mismatches: 0, inFlight: { ...inFlight, parked: true } },
        nowMs,
      );
    case NackClass.ROOT_MISMATCH: {
      const mismatches = session.mismatches + 1;
      if (mismatches < LIMITS.mismatches)
        return offer(
          { ...known, inFlight: undefined, manifestDue: true, mismatches },
          nowMs,
        );
      const message = `the node got another root ${mismatches} times in a row for ${describeCursor(inFlight.to)}, at last with every bucket sent anew`;
      const ended = end(
        { ...known, mismatches },
        GoodbyeReason.PROTOCOL,
        message,
        LIMITS.hopelessRetryMs,
      );
      return {
        ...ended,
        effects: [{ type: "alarm", message }, ...ended.effects],
      };
    }
    case NackClass.STALE: {
      // It serves something newer than the head, or another state of the same revision: not of this history. Unless the
      // history got another epoch meanwhile, which replaces that.
      const forked = inFlight.to.epoch === session.head.epoch;
      const step = offer(
        { ...known, inFlight: undefined, mismatches: 0, forked },
        nowMs,
      );
      return {
        ...step,
        effects: [
          ...(forked ? [forkAlarm(session.head, nack.kept)] : []),
          ...step.effects,
        ],
      };
    }
    case NackClass.HELD: {
      const step = offer(
        {
          ...known,
          inFlight: undefined,
          mismatches: 0,
          manifestDue: true,
          held: inFlight.to,
          // Held although it was allowed: asking again would go on for ever. Unless the permission came meanwhile.
          allowed: session.allowed && !inFlight.allowed,
        },
        nowMs,
      );
      return {
        ...step,
        effects: [
          {
            type: "alarm",
            message: `the node holds ${describeCursor(inFlight.to)} back and serves ${describeCursor(nack.kept)}: it would lose more than half of its entries. If that is meant: holdfast nodes allow`,
          },
          ...step.effects,
        ],
      };
    }
    case NackClass.UNSPECIFIED:
      return breach(session, `Nack of ${nack.seq} has no class`);
    case NackClass.INVALID:
    case NackClass.UNSUPPORTED:
    case NackClass.CRASHED:
    default:
      // Of a newer node, perhaps with a class that is not known here.
      // The remembered root keeps this from looping: only another head is sent. As a Delta from what is kept.
      return offer(
        {
          ...known,
          inFlight: undefined,
          mismatches: 0,
          manifestDue: nack.kept === undefined,
          refusedRoots: new Set(
            [...session.refusedRoots, inFlight.to.root].slice(-LIMITS.refusals),
          ),
        },
        nowMs,
      );
  }
}

type Expected =
  | { readonly type: "current"; readonly inFlight: InFlight }
  | { readonly type: "other"; readonly step: SessionStep };

/** Sorts an answer by its seq: a lower one is late and ignored, a higher one was never sent. */
function expect(session: Session, seq: bigint, what: string): Expected {
  if (session.at !== "active")
    return {
      type: "other",
      step: breach(session, `${what} came before SnapshotRequest`),
    };
  if (seq > session.lastSeq || seq === 0n)
    return {
      type: "other",
      step: breach(
        session,
        `${what} answers ${seq}, the last sent was ${session.lastSeq}`,
      ),
    };
  if (session.inFlight?.seq !== seq)
    return { type: "other", step: still(session) };
  return { type: "current", inFlight: session.inFlight };
}
