import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import {
  NackClass,
  type BucketDigest,
  type Refusal,
  type Totals,
  type Violation,
} from "../gen/holdfast/sync/v1/sync_pb.js";
import { create } from "@bufbuild/protobuf";
import { RefusalSchema } from "../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual, describeCursor } from "../model/cursor.ts";
import { LIMITS } from "./limits.ts";

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

/** Whether a new stream may be opened: not while an apply that outlived its stream is being finished. */
export function mayConnect(replica: Replica): boolean {
  return replica.at === "offline" && replica.apply === undefined;
}

/** The machine: what an event makes of a replica. States x events, invariants and must-nots are in README.md beside this. */
export function stepReplica(
  replica: Replica,
  event: ReplicaEvent,
): ReplicaStep {
  const { nowMs } = event;
  const heard = { ...replica, seenMs: nowMs };
  switch (event.type) {
    case "connected":
      if (!mayConnect(replica)) return hangUp(replica, "connected twice");
      return {
        replica: { ...heard, at: "greeting", lastSeq: 0n, reportMs: nowMs },
        effects: [
          { type: "greet", have: replica.serving, refused: replica.refusals },
        ],
      };
    case "welcomed":
      if (replica.at !== "greeting")
        return hangUp(replica, "Welcome came out of turn");
      return confirm({ ...heard, at: "online" }, event.head);
    case "arrived":
      return arrive(heard, event.frame);
    case "takenUp":
      return replica.next?.seq === event.seq && replica.apply === undefined
        ? start(replica, replica.next, event.lacking)
        : still(replica);
    case "bucketArrived":
      return receiveBucket(heard, event.seq, event.index, event.damage);
    case "verified":
      return advance(replica, event.seq, "verify", (apply) => {
        if (event.damage !== undefined)
          return mismatch(replica, apply, event.damage);
        const loss = lossOf(replica, apply.frame, event.loses);
        return loss === undefined
          ? enter(replica, { ...apply, phase: "prepare" })
          : refuse(replica, apply, NackClass.HELD, [violation(loss)]);
      });
    case "prepared":
      return advance(replica, event.seq, "prepare", (apply) =>
        enter(replica, { ...apply, phase: "persist" }),
      );
    case "refused":
      return advance(replica, event.seq, "prepare", (apply) =>
        refuse(replica, apply, event.class, event.violations),
      );
    case "persisted":
      return advance(replica, event.seq, "persist", (apply) =>
        event.failure === undefined
          ? enter(replica, { ...apply, phase: "commit" })
          : storeFailed(replica, apply, event.failure),
      );
    case "retryDue":
      return advance(replica, event.seq, "retry", (apply) =>
        enter(replica, { ...apply, phase: "persist" }),
      );
    case "committed":
      return advance(replica, event.seq, "commit", (apply) =>
        committed(replica, apply.frame),
      );
    case "heard":
      return confirm(heard, event.head);
    case "ticked":
      return tick(replica, nowMs);
    case "disconnected":
      return disconnect(replica);
    default:
      return event satisfies never;
  }
}

function arrive(replica: Replica, frame: Frame): ReplicaStep {
  if (replica.at !== "online")
    return hangUp(replica, `a ${frame.type} came before Welcome`);
  if (frame.seq <= replica.lastSeq)
    return hangUp(
      replica,
      `a ${frame.type} came with seq ${frame.seq} after ${replica.lastSeq}`,
    );
  const flaw = flawOf(frame);
  if (flaw !== undefined) return hangUp(replica, flaw);
  // Offered although it was refused: somebody asked for another try.
  const refusals = replica.refusals.filter(
    (refusal) => refusal.cursor?.root !== frame.to.root,
  );
  const forget: readonly ReplicaEffect[] =
    refusals.length === replica.refusals.length
      ? []
      : [{ type: "remember", refusals }];
  const known = { ...replica, lastSeq: frame.seq, refusals, next: frame };
  switch (replica.apply?.phase) {
    case undefined:
      return {
        replica: known,
        effects: [...forget, { type: "takeUp", frame }],
      };
    case "receive":
    case "retry":
      // Replaced: a manifest whose buckets are gone, or a state that could not be stored, by a newer one.
      return {
        replica: { ...known, apply: undefined },
        effects: [
          ...forget,
          { type: "discard", frame: replica.apply.frame },
          { type: "takeUp", frame },
        ],
      };
    case "verify":
    case "prepare":
    case "persist":
    case "commit":
      return { replica: known, effects: forget };
  }
}

function start(
  replica: Replica,
  frame: Frame,
  lacking: readonly BucketDigest[],
): ReplicaStep {
  const idle = { ...replica, next: undefined };
  if (frame.type === "delta" && !cursorsEqual(frame.from, replica.serving))
    return {
      replica: idle,
      effects: [
        { type: "discard", frame },
        nackOf(idle, frame, NackClass.ROOT_MISMATCH, [
          violation(
            `the delta is from ${describeCursor(frame.from)}, served is ${describeCursor(replica.serving)}`,
          ),
        ]),
      ],
    };
  const stale = staleness(replica.serving, frame.to);
  if (stale !== undefined)
    return {
      replica: idle,
      effects: [
        { type: "discard", frame },
        nackOf(idle, frame, NackClass.STALE, [violation(stale)]),
      ],
    };
  // Equal cursors, equal content: prepared, durable and served already.
  if (lacking.length === 0 && cursorsEqual(frame.to, replica.serving))
    return {
      replica: idle,
      effects: [
        { type: "ack", seq: frame.seq, cursor: frame.to },
        { type: "discard", frame },
        { type: "confirmed", cursor: frame.to },
      ],
    };
  return fetchMore(idle, {
    frame,
    phase: "receive",
    wanted: lacking,
    outstanding: [],
    failures: 0,
  });
}

/** Asks for as many buckets as the window holds, or goes on when all are there. */
function fetchMore(replica: Replica, apply: Apply): ReplicaStep {
  if (apply.wanted.length === 0 && apply.outstanding.length === 0)
    return enter(replica, { ...apply, phase: "verify" });
  let bytes = apply.outstanding.reduce((sum, bucket) => sum + bucket.size, 0);
  // In halves: a request for each bucket that came would be a message a bucket.
  if (
    apply.wanted.length === 0 ||
    (apply.outstanding.length > 0 && bytes > LIMITS.bucketWindowBytes / 2)
  )
    return still({ ...replica, apply });
  let count = 0;
  for (const bucket of apply.wanted) {
    const first = apply.outstanding.length === 0 && count === 0;
    if (!first && bytes + bucket.size > LIMITS.bucketWindowBytes) break;
    bytes += bucket.size;
    count++;
  }
  const asked = apply.wanted.slice(0, count);
  return {
    replica: {
      ...replica,
      apply: {
        ...apply,
        wanted: apply.wanted.slice(count),
        outstanding: [...apply.outstanding, ...asked],
      },
    },
    effects:
      count === 0
        ? []
        : [{ type: "requestBuckets", seq: apply.frame.seq, buckets: asked }],
  };
}

function receiveBucket(
  replica: Replica,
  seq: bigint,
  index: number,
  damage: string | undefined,
): ReplicaStep {
  const { apply } = replica;
  // Buckets of a manifest that was replaced may still be on the way.
  if (apply?.frame.seq !== seq || apply.phase !== "receive")
    return seq > replica.lastSeq
      ? hangUp(replica, `a bucket came for ${seq}, which was not sent`)
      : still(replica);
  // Mostly the first: they come in the order asked for.
  const at = apply.outstanding.findIndex((bucket) => bucket.index === index);
  if (at === -1)
    return hangUp(replica, `bucket ${index} came, which was not asked for`);
  if (damage !== undefined)
    return mismatch(replica, apply, `bucket ${index} ${damage}`);
  return fetchMore(replica, {
    ...apply,
    outstanding:
      at === 0
        ? apply.outstanding.slice(1)
        : apply.outstanding.filter((_bucket, i) => i !== at),
  });
}

/** Enters a phase that the shell works on. */
function enter(replica: Replica, apply: Apply): ReplicaStep {
  const { frame, phase } = apply;
  return {
    replica: { ...replica, apply },
    effects:
      phase === "verify" ||
      phase === "prepare" ||
      phase === "persist" ||
      phase === "commit"
        ? [{ type: phase, frame }]
        : [],
  };
}

/** Runs `next` when the shell's word is about the apply that is waited for; otherwise it is late and ignored. */
function advance(
  replica: Replica,
  seq: bigint,
  phase: Apply["phase"],
  next: (apply: Apply) => ReplicaStep,
): ReplicaStep {
  const { apply } = replica;
  return apply?.frame.seq === seq && apply.phase === phase
    ? next(apply)
    : still(replica);
}

/** The state is served. What was held back before it, to protect another history, no longer matters. */
function committed(replica: Replica, frame: Frame): ReplicaStep {
  const refusals =
    replica.serving?.epoch === frame.to.epoch
      ? replica.refusals
      : replica.refusals.filter(({ class: each }) => each !== NackClass.HELD);
  return finish({ ...replica, serving: frame.to, refusals }, [
    { type: "ack", seq: frame.seq, cursor: frame.to },
    ...(refusals.length === replica.refusals.length
      ? []
      : [{ type: "remember" as const, refusals }]),
    // With another state waiting, or nobody there, it is not known to be the newest.
    ...(replica.next === undefined && replica.at === "online"
      ? [{ type: "confirmed" as const, cursor: frame.to }]
      : []),
  ]);
}

function confirm(replica: Replica, head: Cursor | undefined): ReplicaStep {
  return head !== undefined && cursorsEqual(head, replica.serving)
    ? { replica, effects: [{ type: "confirmed", cursor: head }] }
    : still(replica);
}

/** Why a state would be a step back within one history; undefined when it is none. */
function staleness(
  serving: Cursor | undefined,
  to: Cursor,
): string | undefined {
  if (serving?.epoch !== to.epoch) return undefined;
  if (to.revision < serving.revision)
    return `revision ${to.revision} is older than the served ${serving.revision} of the same epoch`;
  if (to.revision === serving.revision && to.root !== serving.root)
    return `revision ${to.revision} has root ${to.root} and is served with root ${serving.root}`;
  return undefined;
}

/** Why a state of a foreign history is held back; undefined when it may be taken. */
function lossOf(
  { serving }: Replica,
  frame: Frame,
  loses: { readonly removed: number; readonly held: number } | undefined,
): string | undefined {
  if (
    frame.type === "delta" ||
    serving === undefined ||
    loses === undefined ||
    serving.epoch === frame.to.epoch ||
    frame.predecessors.includes(serving.epoch) ||
    frame.allowed ||
    loses.removed * 2 <= loses.held
  )
    return undefined;
  return `epoch ${frame.to.epoch} is not the served ${serving.epoch} and has not replaced it; following it would remove ${loses.removed} of ${loses.held} entries. If that is meant: holdfast nodes allow`;
}

function mismatch(replica: Replica, apply: Apply, reason: string): ReplicaStep {
  return finish(replica, [
    { type: "discard", frame: apply.frame },
    nackOf(replica, apply.frame, NackClass.ROOT_MISMATCH, [violation(reason)]),
  ]);
}

function refuse(
  replica: Replica,
  apply: Apply,
  refusal: NackClass,
  violations: readonly Violation[],
): ReplicaStep {
  const kept = violations.slice(0, LIMITS.violations);
  const refusals = [
    ...replica.refusals.filter(
      (known) => known.cursor?.root !== apply.frame.to.root,
    ),
    create(RefusalSchema, {
      class: refusal,
      cursor: apply.frame.to,
      violations: kept.slice(0, LIMITS.rememberedViolations).map((each) => ({
        ...each,
        reason: each.reason.slice(0, LIMITS.rememberedReasonChars),
      })),
    }),
  ].slice(-LIMITS.refusals);
  return finish({ ...replica, refusals }, [
    { type: "discard", frame: apply.frame },
    { type: "remember", refusals },
    nackOf(replica, apply.frame, refusal, kept),
  ]);
}

function storeFailed(
  replica: Replica,
  apply: Apply,
  reason: string,
): ReplicaStep {
  const delayMs = Math.min(
    LIMITS.storeRetryMinMs * 2 ** apply.failures,
    LIMITS.storeRetryMaxMs,
  );
  const nack =
    replica.at === "online"
      ? [nackOf(replica, apply.frame, NackClass.LOCAL_IO, [violation(reason)])]
      : [];
  if (replica.next !== undefined || replica.at !== "online")
    return finish(replica, [{ type: "discard", frame: apply.frame }, ...nack]);
  return {
    replica: {
      ...replica,
      apply: { ...apply, phase: "retry", failures: apply.failures + 1 },
    },
    effects: [
      // Once: the control plane knows, and the retries are ours.
      ...(apply.failures === 0 ? nack : []),
      { type: "retryLater", seq: apply.frame.seq, delayMs },
    ],
  };
}

/** Ends an apply, tells the control plane if it is still the one that sent it, and takes up what came meanwhile. */
function finish(
  replica: Replica,
  effects: readonly ReplicaEffect[],
): ReplicaStep {
  const told =
    replica.at === "online"
      ? effects
      : effects.filter(
          (effect) => effect.type !== "ack" && effect.type !== "nack",
        );
  const { next } = replica;
  return {
    replica: { ...replica, apply: undefined },
    effects:
      next === undefined ? told : [...told, { type: "takeUp", frame: next }],
  };
}

function disconnect(replica: Replica): ReplicaStep {
  const offline = { ...replica, at: "offline" as const, next: undefined };
  const { apply } = replica;
  if (apply === undefined) return still(offline);
  // What is being made durable is finished: the disk must not be left ahead of what is served.
  if (apply.phase === "persist" || apply.phase === "commit")
    return still(offline);
  return {
    replica: { ...offline, apply: undefined },
    effects: [{ type: "discard", frame: apply.frame }],
  };
}

function tick(replica: Replica, nowMs: number): ReplicaStep {
  if (replica.at === "offline") return still(replica);
  if (nowMs - replica.seenMs > LIMITS.deadMs)
    return hangUp(
      replica,
      `nothing was heard of the control plane for ${Math.round((nowMs - replica.seenMs) / 1000)} s`,
    );
  if (nowMs - replica.reportMs < LIMITS.heartbeatMs) return still(replica);
  return {
    replica: { ...replica, reportMs: nowMs },
    effects: [{ type: "report" }],
  };
}

/** What is wrong with a frame's form: checked before anything is allocated for it. */
function flawOf(frame: Frame): string | undefined {
  if (frame.type === "delta")
    return frame.from.epoch === frame.to.epoch
      ? undefined
      : `a delta leads from epoch ${frame.from.epoch} to epoch ${frame.to.epoch}`;
  const { buckets, totals } = frame;
  if (totals.bytes > BigInt(LIMITS.snapshotBytes))
    return `the manifest announces ${totals.bytes} bytes, more than ${LIMITS.snapshotBytes}`;
  if (buckets.length === 0) return undefined;
  let previous = -1;
  let bytes = 0;
  for (const bucket of buckets) {
    if (bucket.index <= previous || bucket.index > 1023)
      return `the manifest has bucket ${bucket.index} after ${previous}`;
    previous = bucket.index;
    bytes += bucket.size;
  }
  if (buckets.length !== totals.buckets || BigInt(bytes) !== totals.bytes)
    return `the manifest has ${buckets.length} buckets of ${bytes} bytes and announces ${totals.buckets} of ${totals.bytes}`;
  return undefined;
}

function nackOf(
  replica: Replica,
  frame: Frame,
  refusal: NackClass,
  violations: readonly Violation[],
): ReplicaEffect {
  return {
    type: "nack",
    seq: frame.seq,
    cursor: frame.to,
    kept: replica.serving,
    class: refusal,
    violations,
  };
}

function violation(reason: string): Violation {
  return {
    $typeName: "holdfast.sync.v1.Violation",
    key: "",
    field: "",
    reason,
  };
}

function hangUp(replica: Replica, reason: string): ReplicaStep {
  return { replica, effects: [{ type: "hangUp", reason }] };
}

function still(replica: Replica): ReplicaStep {
  return { replica, effects: [] };
}
