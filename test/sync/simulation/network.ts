import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import type {
  BucketDigest,
  GoodbyeReason,
  Refusal,
  Ack,
  Nack,
  Report,
  Feature,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import type { Frame } from "../../../src/sync/replica/state.ts";

/** Leaves out a part of each member of a union. */
export type Without<E, K extends PropertyKey> = E extends unknown
  ? Omit<E, K>
  : never;

/** What a control plane writes. */
export type Down =
  | { readonly type: "welcome"; readonly head: Cursor }
  | { readonly type: "heartbeat"; readonly head: Cursor }
  | {
      readonly type: "goodbye";
      readonly reason: GoodbyeReason;
      readonly retryAfterMs: number | undefined;
    }
  | {
      readonly type: "frame";
      readonly frame: Frame;
      /** Of a delta: bucket, new value, bucket, new value … */
      readonly changes: readonly number[];
      readonly whole: boolean;
    }
  | {
      readonly type: "bucket";
      readonly seq: bigint;
      readonly index: number;
      readonly value: number;
    }
  /** The end of the stream, after everything that was written. */
  | { readonly type: "end" };

/** What a node writes. */
export type Up =
  | {
      readonly type: "hello";
      readonly build: number;
      readonly features: readonly Feature[];
      readonly have: Cursor | undefined;
      readonly refused: readonly Refusal[];
    }
  | { readonly type: "snapshotRequest" }
  | {
      readonly type: "bucketRequest";
      readonly seq: bigint;
      readonly buckets: readonly BucketDigest[];
    }
  | { readonly type: "ack"; readonly ack: Ack }
  | { readonly type: "nack"; readonly nack: Nack }
  | { readonly type: "report"; readonly report: Report }
  | { readonly type: "end" };

/**
 * One stream: two queues, each in order and as slow as it likes. Between streams, and between the two directions, any
 * order is possible. Either end may be gone while the other does not know.
 */
export class Wire {
  readonly node: number;
  readonly boot: string;
  readonly down: Down[] = [];
  readonly up: Up[] = [];
  /** Whether this end is still there. */
  nodeThere = true;
  controlPlaneThere = true;

  constructor(node: number, boot: string) {
    this.node = node;
    this.boot = boot;
  }

  send(message: Down): void {
    if (this.nodeThere) this.down.push(message);
  }

  reply(message: Up): void {
    if (this.controlPlaneThere && this.nodeThere) this.up.push(message);
  }

  /** The node is gone; the control plane learns it when it has read what came before. */
  leaveNode(): void {
    if (!this.nodeThere) return;
    this.nodeThere = false;
    this.down.length = 0;
    if (this.controlPlaneThere) this.up.push({ type: "end" });
  }

  /** The control plane is gone; the node learns it when it has read what came before. */
  leaveControlPlane(): void {
    if (!this.controlPlaneThere) return;
    this.controlPlaneThere = false;
    this.up.length = 0;
    if (this.nodeThere) this.down.push({ type: "end" });
  }

  /** What was on its way is lost; both learn of the break with what they read next. */
  tear(): void {
    this.up.length = 0;
    this.down.length = 0;
    if (this.controlPlaneThere) this.up.push({ type: "end" });
    if (this.nodeThere) this.down.push({ type: "end" });
  }
}
