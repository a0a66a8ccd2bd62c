import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import {
  GoodbyeReason,
  NackClass,
  type Ack,
  type BucketDigest,
  type Feature,
  type Hello,
  type MissingFeature,
  type Nack,
  type Report,
} from "../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../model/cursor.ts";
import { degradedOf, missingOf, type FeatureNeed } from "./features.ts";
import { LIMITS } from "./limits.ts";

/** A Manifest or Delta that the node has not answered, or answered with LOCAL_IO and keeps trying to store. */
interface InFlight {
  readonly seq: bigint;
  readonly to: Cursor;
  readonly sentMs: number;
  /** When the node last showed progress, or the frame was written. The stall clock counts from here. */
  readonly progressMs: number;
  /** When bytes last went to the node for this frame; progress that the node merely reports extends from here. */
  readonly fedMs: number;
  /** Answered with LOCAL_IO: the node tries again by itself, so nothing is awaited, and a newer state may be sent. */
  readonly parked: boolean;
  /** Plain bytes of buckets that were asked for and not written yet. */
  readonly owedBytes: number;
  /** The progress last reported, to tell news from repetition. */
  readonly progress: string;
}

/**
 * What the control plane knows of one node while its stream lasts.
 *
 * Sent is not applied: `acked` moves only on the node's own word (Hello's `have`, Ack, Nack's `kept`), never on a send.
 */
export interface Session {
  /** `opening`: no Hello yet. `greeted`: no SnapshotRequest yet. `active`: may be sent states. `ended`: over. */
  readonly at: "opening" | "greeted" | "active" | "ended";
  readonly hello: Hello | undefined;
  /** The newest state that was published to this session: what the node should serve. */
  readonly head: Cursor;
  /** What the head needs of a node. */
  readonly needs: readonly FeatureNeed[];
  /** What of that the node lacks. Not empty: the head is not sent. */
  readonly missing: readonly MissingFeature[];
  /** What of the head the node serves only in part. */
  readonly degraded: readonly MissingFeature[];
  /** What the node serves, by its own word. */
  readonly acked: Cursor | undefined;
  /** The node asked for the full snapshot, or cannot use a Delta: the next state goes as a Manifest. */
  readonly manifestDue: boolean;
  /** At most one frame is unanswered. */
  readonly inFlight: InFlight | undefined;
  readonly lastSeq: bigint;
  /** Roots this build of the node refused. Never offered again on this session, until `retried`. */
  readonly refusedRoots: ReadonlySet<string>;
  readonly lastNack: Nack | undefined;
  readonly lastAck: Ack | undefined;
  /** ROOT_MISMATCH answers in a row. */
  readonly mismatches: number;
  /** Whether the previous write has drained: nothing is written before. */
  readonly writable: boolean;
  readonly seenMs: number;
  readonly heartbeatMs: number;
}

/** What happens to a session. All times are of one monotonic clock. */
export type SessionEvent = { readonly nowMs: number } & (
  | {
      readonly type: "greeted";
      readonly hello: Hello;
      /** Roots that the control plane remembers this build of this node, with these features, to have refused. */
      readonly refusedRoots: readonly string[];
    }
  | { readonly type: "snapshotRequested" }
  | {
      readonly type: "published";
      readonly head: Cursor;
      readonly needs: readonly FeatureNeed[];
    }
  | {
      readonly type: "bucketsRequested";
      readonly seq: bigint;
      readonly buckets: readonly BucketDigest[];
      /** Plain bytes of those buckets. */
      readonly bytes: number;
      /** How many of them the offered state does not have. */
      readonly unknown: number;
    }
  | { readonly type: "bucketsWritten"; readonly bytes: number }
  | { readonly type: "acked"; readonly ack: Ack }
  | { readonly type: "nacked"; readonly nack: Nack }
  | { readonly type: "reported"; readonly report: Report }
  | { readonly type: "drained" }
  | { readonly type: "ticked" }
  | { readonly type: "retried" }
  | {
      readonly type: "dismissed";
      readonly reason: GoodbyeReason;
      readonly message: string;
      readonly retryAfterMs?: number;
    }
  | { readonly type: "broke"; readonly message: string }
  | { readonly type: "disconnected" }
);

/** What the shell must do, in this order. */
export type SessionEffect =
  | { readonly type: "welcome"; readonly missing: readonly MissingFeature[] }
  | {
      /** Write a Manifest of `to`; or, when `from` is given and the difference is small enough, a Delta. */
      readonly type: "offer";
      readonly seq: bigint;
      readonly from: Cursor | undefined;
      readonly to: Cursor;
      /** Whether the node already has this root, so that the Manifest needs no bucket hashes. */
      readonly known: boolean;
      /** Whether the node must fetch every bucket. */
      readonly whole: boolean;
    }
  | {
      readonly type: "writeBuckets";
      readonly seq: bigint;
      readonly of: Cursor;
      readonly indexes: readonly number[];
    }
  | { readonly type: "heartbeat" }
  | {
      /** Say Goodbye and end the stream. */
      readonly type: "goodbye";
      readonly reason: GoodbyeReason;
      readonly message: string;
      readonly retryAfterMs: number | undefined;
    }
  | {
      /** Someone should look at this node. */
      readonly type: "alarm";
      readonly message: string;
    };

/** What an event makes of a session. */
export interface SessionStep {
  readonly session: Session;
  readonly effects: readonly SessionEffect[];
}

/** A session whose stream was just accepted. */
export function openSession(
  head: Cursor,
  needs: readonly FeatureNeed[],
  nowMs: number,
): Session {
  return {
    at: "opening",
    hello: undefined,
    head,
    needs,
    missing: [],
    degraded: [],
    acked: undefined,
    manifestDue: false,
    inFlight: undefined,
    lastSeq: 0n,
    refusedRoots: new Set(),
    lastNack: undefined,
    lastAck: undefined,
    mismatches: 0,
    writable: true,
    seenMs: nowMs,
    heartbeatMs: nowMs,
  };
}

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
        ? greet(session, event.hello, event.refusedRoots, nowMs)
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
      return offer(
        {
          ...session,
          head: event.head,
          needs: event.needs,
          missing: missingOf(event.needs, featuresOf(session)),
          degraded: degradedOf(event.needs, featuresOf(session)),
        },
        nowMs,
      );
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
          inFlight: session.inFlight && {
            ...session.inFlight,
            progressMs: nowMs,
            fedMs: nowMs,
          },
        },
        nowMs,
      );
    case "ticked":
      return tick(session, nowMs);
    case "retried":
      return offer({ ...session, refusedRoots: new Set() }, nowMs);
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

function greet(
  session: Session,
  hello: Hello,
  remembered: readonly string[],
  nowMs: number,
): SessionStep {
  const missing = missingOf(session.needs, hello.features);
  const refusedRoots = new Set(remembered);
  for (const refusal of hello.refused)
    if (refusal.cursor !== undefined && isLasting(refusal.class))
      refusedRoots.add(refusal.cursor.root);
  return {
    session: {
      ...session,
      at: "greeted",
      hello,
      missing,
      degraded: degradedOf(session.needs, hello.features),
      acked: hello.have,
      refusedRoots,
      // The Welcome is on its way: nothing follows before it has drained.
      writable: false,
      seenMs: nowMs,
      heartbeatMs: nowMs,
    },
    effects: [{ type: "welcome", missing }],
  };
}

/** Sends the head if the node should have it, can use it, and nothing stands in the way. The only place that sends states. */
function offer(session: Session, nowMs: number): SessionStep {
  const { head, inFlight } = session;
  if (session.at !== "active" || !session.writable) return still(session);
  if (inFlight !== undefined) {
    if (!inFlight.parked || cursorsEqual(inFlight.to, head))
      return still(session);
  } else if (!session.manifestDue && cursorsEqual(session.acked, head))
    return still(session);
  if (session.missing.length > 0 || session.refusedRoots.has(head.root))
    return still(session);

  const seq = session.lastSeq + 1n;
  const whole = session.mismatches >= 2;
  return {
    session: {
      ...session,
      lastSeq: seq,
      manifestDue: false,
      writable: false,
      inFlight: {
        seq,
        to: head,
        sentMs: nowMs,
        progressMs: nowMs,
        fedMs: nowMs,
        parked: false,
        owedBytes: 0,
        progress: "",
      },
    },
    effects: [
      {
        type: "offer",
        seq,
        from: session.manifestDue ? undefined : session.acked,
        to: head,
        known: !whole && session.acked?.root === head.root,
        whole,
      },
    ],
  };
}

function requestBuckets(
  session: Session,
  event: Extract<SessionEvent, { type: "bucketsRequested" }>,
): SessionStep {
  const expected = expect(session, event.seq, "BucketRequest");
  if (expected.type !== "current") return expected.step;
  const { inFlight } = expected;
  if (event.unknown > 0)
    return breach(
      session,
      `BucketRequest names ${event.unknown} bucket(s) that ${describeCursor(inFlight.to)} does not have`,
    );
  const owedBytes = inFlight.owedBytes + event.bytes;
  // A single bucket may be larger than the window, or it could never be fetched.
  if (
    owedBytes > LIMITS.bucketWindowBytes &&
    (inFlight.owedBytes > 0 || event.buckets.length > 1)
  )
    return breach(
      session,
      `BucketRequest makes ${owedBytes} bytes outstanding, more than ${LIMITS.bucketWindowBytes}`,
    );
  return {
    session: {
      ...session,
      inFlight: {
        ...inFlight,
        owedBytes,
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

function answerAck(session: Session, ack: Ack, nowMs: number): SessionStep {
  const expected = expect(session, ack.seq, "Ack");
  if (expected.type !== "current") return expected.step;
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
      lastAck: ack,
      lastNack: undefined,
    },
    nowMs,
  );
}

function answerNack(session: Session, nack: Nack, nowMs: number): SessionStep {
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
        { ...known, inFlight: { ...inFlight, parked: true } },
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
    case NackClass.INVALID:
    case NackClass.UNSUPPORTED:
    case NackClass.STALE:
    case NackClass.HELD:
    case NackClass.CRASHED:
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
    default:
      return breach(session, `Nack of ${nack.seq} has no class`);
  }
}

function report(session: Session, news: Report, nowMs: number): SessionStep {
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

function tick(session: Session, nowMs: number): SessionStep {
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
  if (inFlight !== undefined && !inFlight.parked) {
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

function breach(session: Session, message: string): SessionStep {
  return end(session, GoodbyeReason.PROTOCOL, message);
}

function end(
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

function still(session: Session): SessionStep {
  return { session, effects: [] };
}

function featuresOf(session: Session): readonly Feature[] {
  return session.hello?.features ?? [];
}

/** Whether a class speaks of the content, so that sending the same again cannot help. */
export function isLasting(refusal: NackClass): boolean {
  return (
    refusal === NackClass.INVALID ||
    refusal === NackClass.UNSUPPORTED ||
    refusal === NackClass.CRASHED
  );
}
