import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type {
  BucketDigest,
  NackClass,
  Refusal,
  Totals,
  Violation,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../limits.ts";

/** A state that the control plane sent. */
export type Frame =
  | {
      readonly type: "manifest";
      readonly seq: bigint;
      readonly to: Cursor;
      readonly buckets: readonly BucketDigest[];
      readonly totals: Pick<Totals, "buckets" | "entries" | "bytes">;
      /** Epochs that the state's epoch has replaced on purpose. */
      readonly predecessors: readonly string[];
      /** Somebody has allowed this node to lose more than half of its entries. */
      readonly allowed: boolean;
    }
  | {
      readonly type: "delta";
      readonly seq: bigint;
      readonly from: Cursor;
      readonly to: Cursor;
    };

/** A state on its way in. Until `commit` nothing of it is served, until `persist` nothing of it is on disk. */
export interface Apply {
  readonly frame: Frame;
  readonly phase:
    "receive" | "verify" | "prepare" | "persist" | "retry" | "commit";
  /** Buckets to ask for. */
  readonly wanted: readonly BucketDigest[];
  /** Buckets asked for that have not come. */
  readonly outstanding: readonly BucketDigest[];
  /** How often it could not be stored. */
  readonly failures: number;
}

/** What a data plane knows of itself and of its control plane. */
export interface Replica {
  /** `offline`: no stream. `greeting`: no Welcome yet. `online`: states may come. */
  readonly at: "offline" | "greeting" | "online";
  readonly serving: Cursor | undefined;
  readonly apply: Apply | undefined;
  /** The newest frame that came and is not taken up: an apply is past receiving, or the shell looks at what it lacks. */
  readonly next: Frame | undefined;
  /** What this build refused, newest last, at most 16. Told to the control plane in each Hello. */
  readonly refusals: readonly Refusal[];
  readonly lastSeq: bigint;
  readonly seenMs: number;
  readonly reportMs: number;
}

/** What happens to a replica. All times are of one monotonic clock. */
export type ReplicaEvent = { readonly nowMs: number } & (
  | { readonly type: "connected" }
  | {
      readonly type: "welcomed";
      /** The control plane's newest state. */
      readonly head?: Cursor;
    }
  | { readonly type: "arrived"; readonly frame: Frame }
  | {
      /** The answer to `takeUp`. */
      readonly type: "takenUp";
      readonly seq: bigint;
      /** Buckets of a manifest that the node does not hold with that hash, served or staged. */
      readonly lacking: readonly BucketDigest[];
    }
  | {
      readonly type: "bucketArrived";
      readonly seq: bigint;
      readonly index: number;
      /** What is wrong with it; absent when its hash is the one announced. */
      readonly damage?: string;
    }
  | {
      readonly type: "verified";
      readonly seq: bigint;
      readonly damage?: string;
      /**
       * How many entries of what is served the new state does not have, and how many are served. To be told whenever the
       * state's epoch is not the served one.
       */
      readonly loses?: { readonly removed: number; readonly held: number };
    }
  | { readonly type: "prepared"; readonly seq: bigint }
  | {
      readonly type: "refused";
      readonly seq: bigint;
      readonly class: NackClass;
      readonly violations: readonly Violation[];
    }
  | {
      readonly type: "persisted";
      readonly seq: bigint;
      readonly failure?: string;
    }
  | { readonly type: "retryDue"; readonly seq: bigint }
  | { readonly type: "committed"; readonly seq: bigint }
  | {
      readonly type: "heard";
      /** The control plane's newest state, when it said so. */
      readonly head?: Cursor;
    }
  | { readonly type: "ticked" }
  | { readonly type: "disconnected" }
);

/** What the shell must do, in this order. */
export type ReplicaEffect =
  | {
      readonly type: "greet";
      readonly have: Cursor | undefined;
      readonly refused: readonly Refusal[];
    }
  /** See what it lacks, and say so. Not before: what the node holds changes with each apply. */
  | { readonly type: "takeUp"; readonly frame: Frame }
  | {
      readonly type: "requestBuckets";
      readonly seq: bigint;
      readonly buckets: readonly BucketDigest[];
    }
  | { readonly type: "verify"; readonly frame: Frame }
  | { readonly type: "prepare"; readonly frame: Frame }
  | { readonly type: "persist"; readonly frame: Frame }
  | {
      readonly type: "retryLater";
      readonly seq: bigint;
      readonly delayMs: number;
    }
  | { readonly type: "commit"; readonly frame: Frame }
  | { readonly type: "ack"; readonly seq: bigint; readonly cursor: Cursor }
  | {
      readonly type: "nack";
      readonly seq: bigint;
      readonly cursor: Cursor;
      readonly kept: Cursor | undefined;
      readonly class: NackClass;
      readonly violations: readonly Violation[];
    }
  | { readonly type: "remember"; readonly refusals: readonly Refusal[] }
  /** Forget what was prepared for this frame. Buckets that arrived are kept: another manifest may need them. */
  | { readonly type: "discard"; readonly frame: Frame }
  | { readonly type: "report" }
  /** The control plane has just said that what is served is its newest state. */
  | { readonly type: "confirmed"; readonly cursor: Cursor }
  /** End the stream; the shell connects again. */
  | { readonly type: "hangUp"; readonly reason: string };

/** What an event makes of a replica. */
export interface ReplicaStep {
  readonly replica: Replica;
  readonly effects: readonly ReplicaEffect[];
}

/** A replica as it starts: with what it loaded from its disk. */
export function openReplica(
  serving: Cursor | undefined,
  refusals: readonly Refusal[],
  nowMs: number,
): Replica {
  return {
    at: "offline",
    serving,
    apply: undefined,
    next: undefined,
    refusals: refusals.slice(-LIMITS.refusals),
    lastSeq: 0n,
    seenMs: nowMs,
    reportMs: nowMs,
  };
}
