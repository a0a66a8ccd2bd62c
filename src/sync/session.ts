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
  /** Whether it said that the node may lose more than half of its entries. */
  readonly allowed: boolean;
  /** Answered with LOCAL_IO: the node tries again by itself, so nothing is awaited, and a newer state may be sent. */
  readonly parked: boolean;
  /** No longer kept for pulling: a newer state takes its place as soon as one may be sent. Until then an answer counts. */
  readonly gone: boolean;
  /** Plain bytes of buckets that were asked for and not written yet. */
  readonly owedBytes: number;
  /** Buckets that were asked for: each only once. */
  readonly asked: ReadonlySet<number>;
  /** The progress last reported, to tell news from repetition. */
  readonly progress: string;
}

/** Somebody has said how far the node goes: it is pinned to a state, or its workspace is paused at one. */
export interface Limit {
  /** Epochs of this history that came after the state's: what is of one of them is beyond it. */
  readonly successors: readonly string[];
  /** Whether the state can be sent: it is of the present epoch, and the history still reaches it. */
  readonly reachable: boolean;
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
  /** The newest state that was published to this session: what the node should serve. With a limit, that is the limit. */
  readonly head: Cursor;
  /** Present when `head` is not the newest state there is, but what somebody has chosen. */
  readonly limit: Limit | undefined;
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
  /** Frames that another took the place of, unanswered; the newest. An Ack of one may be on its way and is true. */
  readonly superseded: readonly Pick<InFlight, "seq" | "to">[];
  readonly lastSeq: bigint;
  /** Roots this build of the node refused. Never offered again on this session, until `retried`. */
  readonly refusedRoots: ReadonlySet<string>;
  /**
   * The node serves a state that this history does not have: it is ahead of a control plane that was restored from an
   * older backup, or its disk is of another one. Nothing is sent, whatever it claims, until the history gets a new epoch.
   */
  readonly forked: boolean;
  /** The state that the node holds back, since it would lose more than half of its entries. */
  readonly held: Cursor | undefined;
  /** Somebody has allowed the node to follow all the same; until it has. */
  readonly allowed: boolean;
  /** How often in a row a Manifest was replaced because its state was no longer kept. */
  readonly replaced: number;
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
      /** Whether `have` is of this epoch and this history does not have it. */
      readonly forked: boolean;
      /** Whether somebody has allowed the node to lose more than half of its entries to this epoch. */
      readonly allowed: boolean;
    }
  | { readonly type: "snapshotRequested" }
  | {
      readonly type: "published";
      readonly head: Cursor;
      readonly needs: readonly FeatureNeed[];
      /** Given when the head is what somebody has chosen for the node. */
      readonly limit?: Limit;
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
  /** A person lets the node follow although it loses more than half of its entries. */
  | { readonly type: "allowed" }
  /** The history was looked at again: whether it lacks what the node serves. */
  | { readonly type: "placed"; readonly forked: boolean }
  /** The state of the Manifest with this seq is no longer kept for pulling. */
  | { readonly type: "unpinned"; readonly seq: bigint }
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
      /** Whether the node may lose more than half of its entries. */
      readonly allowed: boolean;
      /** Whether its state must stay kept until the node has it: it was replaced too often. */
      readonly priority: boolean;
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
    limit: undefined,
    needs,
    missing: [],
    degraded: [],
    acked: undefined,
    manifestDue: false,
    inFlight: undefined,
    superseded: [],
    lastSeq: 0n,
    refusedRoots: new Set(),
    forked: false,
    held: undefined,
    allowed: false,
    replaced: 0,
    lastNack: undefined,
    lastAck: undefined,
    mismatches: 0,
    writable: true,
    seenMs: nowMs,
    heartbeatMs: nowMs,
  };
}

const NONE: ReadonlySet<number> = new Set();

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

function publish(
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

function greet(
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

/** Sends the head if the node should have it, can use it, and nothing stands in the way. The only place that sends states. */
function offer(session: Session, nowMs: number): SessionStep {
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

/** Whether a cursor is of the epoch of what the node should serve, or of one that came after it. */
function isRecent(
  { epoch }: Cursor,
  {
    head,
    limit,
  }: { readonly head: Cursor; readonly limit?: Limit | undefined },
): boolean {
  return epoch === head.epoch || limit?.successors.includes(epoch) === true;
}

/** The epoch that the history is at, whatever the node is to serve. */
export function presentEpoch({
  head,
  limit,
}: {
  readonly head: Cursor;
  readonly limit?: Limit | undefined;
}): string {
  return limit?.successors.at(-1) ?? head.epoch;
}

/** Whether a state comes after the one that the node is to go no further than. */
function isBeyond(
  cursor: Cursor | undefined,
  { head, limit }: Session,
): boolean {
  if (cursor === undefined || limit === undefined) return false;
  return cursor.epoch === head.epoch
    ? cursor.revision > head.revision
    : limit.successors.includes(cursor.epoch);
}

/** Whether the node has gone further than it is to go: it stays where it is. */
export function isPast(session: Session): boolean {
  return isBeyond(session.acked, session);
}

/** Whether nothing is sent because of the limit: the node is past it, or its state cannot be sent any more. */
function isStopped(session: Session): boolean {
  return session.limit?.reachable === false || isPast(session);
}

/** What the node is told to be what it should serve. One that is past its limit is where it stays. */
export function toldHead(session: Session): Cursor {
  return isPast(session) ? (session.acked ?? session.head) : session.head;
}

/** The state being pulled is gone: the head takes its place. What the node has of it is kept where the hashes agree. */
function replace(session: Session, seq: bigint, nowMs: number): SessionStep {
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

function forkAlarm(head: Cursor, serving: Cursor | undefined): SessionEffect {
  return {
    type: "alarm",
    message: `the node serves ${describeCursor(serving)}, which this history does not have (head: ${describeCursor(head)}). Nothing is sent to it. Was the control plane restored from an older backup? If its state is the right one: holdfast adopt`,
  };
}

function requestBuckets(
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

function answerAck(session: Session, ack: Ack, nowMs: number): SessionStep {
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
