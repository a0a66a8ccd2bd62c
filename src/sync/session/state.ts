import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type {
  Ack,
  BucketDigest,
  GoodbyeReason,
  Hello,
  MissingFeature,
  Nack,
  Report,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { FeatureNeed } from "../features.ts";

/** A Manifest or Delta that the node has not answered, or answered with LOCAL_IO and keeps trying to store. */
export interface InFlight {
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
