import { create } from "@bufbuild/protobuf";
import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import {
  AckSchema,
  BucketDigestSchema,
  GoodbyeReason,
  HelloSchema,
  NackClass,
  NackSchema,
  type BucketDigest,
  type Refusal,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual } from "../../../src/model/cursor.ts";
import {
  mayConnect,
  openReplica,
  stepReplica,
  type Frame,
  type Replica,
  type ReplicaEffect,
  type ReplicaEvent,
} from "../../../src/sync/replica.ts";
import {
  openSession,
  stepSession,
  type Session,
  type SessionEffect,
  type SessionEvent,
} from "../../../src/sync/session.ts";
import { cursor } from "../../support/cursors.ts";

/** What may happen next; `pick` chooses among what is possible. */
export type Action =
  | { readonly type: "commit"; readonly content: number }
  | { readonly type: "deliverDown" }
  | { readonly type: "deliverUp" }
  | { readonly type: "drain" }
  | { readonly type: "work"; readonly outcome: "ok" | "refuse" | "fail" }
  | { readonly type: "retryDue" }
  | { readonly type: "cut" }
  | { readonly type: "crash" }
  | { readonly type: "connect" }
  | { readonly type: "tick"; readonly milliseconds: number }
  | { readonly type: "retry" };

type News<E> = E extends unknown ? Omit<E, "nowMs"> : never;
type Down =
  | { readonly type: "welcome" }
  | { readonly type: "heartbeat" }
  | { readonly type: "goodbye" }
  | { readonly type: "frame"; readonly frame: Frame }
  | { readonly type: "bucket"; readonly seq: bigint; readonly index: number };

/** A made-up state has one bucket, whose hash is its root's. */
function digestOf(state: Cursor): BucketDigest {
  return create(BucketDigestSchema, {
    index: 0,
    hash: Buffer.from(state.root, "hex"),
    size: 10,
  });
}

/**
 * One control plane, one node and the network between them, without sockets, timers or bytes. Every invariant is checked
 * as soon as it could break.
 */
export class Link {
  readonly states: Cursor[] = [cursor(0, "0")];
  /** What the node has on its disk. */
  disk: { cursor: Cursor | undefined; refusals: readonly Refusal[] } = {
    cursor: undefined,
    refusals: [],
  };
  readonly everServed = new Set<string>();
  nowMs = 0;
  session: Session | undefined;
  replica: Replica = openReplica(undefined, [], 0);
  /** What the control plane remembers over streams. */
  #remembered: readonly string[] = [];
  #down: Down[] = [];
  #up: News<SessionEvent>[] = [];
  #pending: ReplicaEffect[] = [];
  #undrained = 0;
  #held: string | undefined;
  #offersUnanswered = 0;
  /** Roots that the control plane was told are refused, since the last retry: offering one of them is a breach. */
  #refused = new Set<string>();
  readonly log: string[] = [];

  get head(): Cursor {
    const head = this.states.at(-1);
    if (head === undefined) throw new Error("there is no state");
    return head;
  }

  act(action: Action): void {
    this.log.push(JSON.stringify(action));
    switch (action.type) {
      case "commit":
        this.states.push(cursor(this.states.length, String(action.content)));
        this.#toSession({ type: "published", head: this.head, needs: [] });
        return;
      case "deliverDown":
        this.#deliverDown();
        return;
      case "deliverUp": {
        const news = this.#up.shift();
        if (news !== undefined) this.#toSession(news);
        return;
      }
      case "drain":
        if (this.#undrained === 0) return;
        this.#undrained = 0;
        this.#toSession({ type: "drained" });
        return;
      case "work":
        this.#work(action.outcome);
        return;
      case "retryDue":
        if (this.replica.apply?.phase === "retry")
          this.#toReplica({
            type: "retryDue",
            seq: this.replica.apply.frame.seq,
          });
        return;
      case "cut":
        this.#cut();
        return;
      case "crash":
        this.#cut();
        this.#pending = [];
        this.replica = openReplica(
          this.disk.cursor,
          this.disk.refusals,
          this.nowMs,
        );
        this.#held = this.disk.cursor?.root;
        return;
      case "connect":
        if (this.session !== undefined || !mayConnect(this.replica)) return;
        this.session = openSession(this.head, [], this.nowMs);
        this.#offersUnanswered = 0;
        this.#toReplica({ type: "connected" });
        return;
      case "tick":
        this.nowMs += action.milliseconds;
        this.#toSession({ type: "ticked" });
        this.#toReplica({ type: "ticked" });
        return;
      case "retry":
        this.#refused = new Set();
        this.#remembered = [];
        this.#toSession({ type: "retried" });
        return;
    }
  }

  /** Whether there is nothing left to happen by itself. */
  get quiet(): boolean {
    return (
      this.#down.length === 0 &&
      this.#up.length === 0 &&
      this.#pending.length === 0 &&
      this.#undrained === 0 &&
      this.replica.apply?.phase !== "retry"
    );
  }

  #cut(): void {
    if (this.session === undefined) return;
    const { session } = this;
    this.session = undefined;
    this.#remembered = [...session.refusedRoots];
    stepSession(session, { type: "disconnected", nowMs: this.nowMs });
    this.#down = [];
    this.#up = [];
    this.#undrained = 0;
    this.#toReplica({ type: "disconnected" });
  }

  #toSession(news: News<SessionEvent>): void {
    if (this.session === undefined) return;
    const before = this.session;
    if (news.type === "nacked" && news.nack.class === NackClass.INVALID)
      this.#refused.add(news.nack.cursor?.root ?? "");
    if (news.type === "greeted")
      for (const refusal of news.hello.refused)
        this.#refused.add(refusal.cursor?.root ?? "");
    const step = stepSession(before, {
      ...news,
      nowMs: this.nowMs,
    });
    this.session = step.session;
    if (
      !cursorsEqual(before.acked, step.session.acked) &&
      news.type !== "acked" &&
      news.type !== "nacked" &&
      news.type !== "greeted"
    )
      throw new Error(`${news.type} moved the cursor`);
    if (news.type === "acked" || news.type === "nacked")
      if (
        before.inFlight !== undefined &&
        step.session.inFlight?.seq !== before.inFlight.seq
      )
        this.#offersUnanswered = 0;
    for (const effect of step.effects) this.#sessionDoes(effect);
  }

  #sessionDoes(effect: SessionEffect): void {
    switch (effect.type) {
      case "welcome":
        this.#write({ type: "welcome" });
        return;
      case "heartbeat":
        this.#write({ type: "heartbeat" });
        return;
      case "offer": {
        if (this.#refused.has(effect.to.root))
          throw new Error(
            `root of revision ${effect.to.revision} was refused and is offered again`,
          );
        if (
          ++this.#offersUnanswered > 1 &&
          this.session?.inFlight?.seq !== effect.seq
        )
          throw new Error("two frames are unanswered");
        const { seq, from, to, known } = effect;
        const digest = digestOf(to);
        this.#write({
          type: "frame",
          frame:
            from === undefined
              ? {
                  type: "manifest",
                  seq,
                  to,
                  buckets: known ? [] : [digest],
                  totals: { buckets: 1, entries: 1n, bytes: 10n },
                  predecessors: [],
                  allowed: false,
                }
              : { type: "delta", seq, from, to },
        });
        return;
      }
      case "writeBuckets":
        for (const index of effect.indexes)
          this.#down.push({ type: "bucket", seq: effect.seq, index });
        return;
      case "goodbye":
        if (effect.reason === GoodbyeReason.PROTOCOL)
          throw new Error(`the control plane hung up: ${effect.message}`);
        this.#down.push({ type: "goodbye" });
        return;
      case "alarm":
        throw new Error(`alarm: ${effect.message}`);
      default:
        effect satisfies never;
    }
  }

  #write(message: Down): void {
    if (this.#undrained > 0)
      throw new Error(`${message.type} was written before the last drained`);
    this.#undrained++;
    this.#down.push(message);
  }

  #deliverDown(): void {
    const message = this.#down.shift();
    switch (message?.type) {
      case undefined:
        return;
      case "welcome":
        this.#toReplica({ type: "welcomed" });
        return;
      case "heartbeat":
        this.#toReplica({ type: "heard" });
        return;
      case "goodbye":
        this.#cut();
        return;
      case "frame":
        this.#toReplica({ type: "arrived", frame: message.frame });
        return;
      case "bucket":
        this.#toReplica({
          type: "bucketArrived",
          seq: message.seq,
          index: message.index,
        });
        return;
    }
  }

  #toReplica(news: News<ReplicaEvent>): void {
    const step = stepReplica(this.replica, {
      ...news,
      nowMs: this.nowMs,
    });
    this.replica = step.replica;
    for (const effect of step.effects) this.#replicaDoes(effect);
  }

  #replicaDoes(effect: ReplicaEffect): void {
    switch (effect.type) {
      case "greet":
        this.#up.push(
          {
            type: "greeted",
            hello: create(HelloSchema, {
              node: { id: "n", boot: "b" },
              have: effect.have,
              refused: [...effect.refused],
            }),
            refusedRoots: this.#remembered,
            forked: false,
            allowed: false,
          },
          { type: "snapshotRequested" },
        );
        return;
      case "takeUp": {
        const { frame } = effect;
        const lacking =
          frame.type === "delta" || this.#held === frame.to.root
            ? []
            : frame.buckets;
        this.#toReplica({ type: "takenUp", seq: frame.seq, lacking });
        return;
      }
      case "requestBuckets":
        this.#up.push({
          type: "bucketsRequested",
          seq: effect.seq,
          buckets: effect.buckets,
          bytes: 10 * effect.buckets.length,
          unknown: 0,
        });
        return;
      case "ack":
        if (!cursorsEqual(effect.cursor, this.replica.serving))
          throw new Error("acknowledged what is not served");
        if (!cursorsEqual(effect.cursor, this.disk.cursor))
          throw new Error("acknowledged what is not durable");
        this.#up.push({
          type: "acked",
          ack: create(AckSchema, { seq: effect.seq, cursor: effect.cursor }),
        });
        return;
      case "nack":
        this.#up.push({
          type: "nacked",
          nack: create(NackSchema, {
            seq: effect.seq,
            cursor: effect.cursor,
            class: effect.class,
            kept: effect.kept,
          }),
        });
        return;
      case "remember":
        this.disk = { ...this.disk, refusals: effect.refusals };
        return;
      case "hangUp":
        if (!effect.reason.startsWith("nothing was heard"))
          throw new Error(`the node hung up: ${effect.reason}`);
        this.#cut();
        return;
      case "discard":
        this.#pending = this.#pending.filter(
          (pending) =>
            !("frame" in pending) || pending.frame.seq !== effect.frame.seq,
        );
        return;
      case "verify":
      case "prepare":
      case "persist":
      case "commit":
        this.#pending.push(effect);
        return;
      case "retryLater":
      case "report":
      case "confirmed":
        return;
      default:
        effect satisfies never;
    }
  }

  #work(outcome: "ok" | "refuse" | "fail"): void {
    const effect = this.#pending.shift();
    if (effect === undefined || !("frame" in effect)) return;
    const { frame } = effect;
    const { seq } = frame;
    switch (effect.type) {
      case "verify": {
        // A delta from something else, or a manifest without hashes for something else, gives another root.
        const wrong =
          (frame.type === "delta" &&
            !cursorsEqual(frame.from, this.replica.serving)) ||
          (frame.type === "manifest" &&
            frame.buckets.length === 0 &&
            this.#held !== frame.to.root);
        this.#toReplica({
          type: "verified",
          seq,
          ...(wrong ? { damage: "another root" } : {}),
        });
        return;
      }
      case "prepare":
        // A content that was served once can be served again: compiling does not change its mind.
        if (outcome === "refuse" && !this.everServed.has(frame.to.root))
          this.#toReplica({
            type: "refused",
            seq,
            class: NackClass.INVALID,
            violations: [],
          });
        else this.#toReplica({ type: "prepared", seq });
        return;
      case "persist":
        if (outcome === "fail") {
          this.#toReplica({ type: "persisted", seq, failure: "disk full" });
          return;
        }
        this.disk = { ...this.disk, cursor: frame.to };
        this.everServed.add(frame.to.root);
        this.#toReplica({ type: "persisted", seq });
        return;
      case "commit":
        if (!this.states.some((state) => cursorsEqual(state, frame.to)))
          throw new Error("serves what was never committed");
        this.#held = frame.to.root;
        this.#toReplica({ type: "committed", seq });
        return;
      default:
    }
  }
}
