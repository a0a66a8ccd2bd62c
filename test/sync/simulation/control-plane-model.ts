import type { Cursor } from "../../../src/gen/holdfast/config/v1/cursor_pb.js";
import {
  GoodbyeReason,
  type BucketDigest,
  type Hello,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../../../src/sync/limits.ts";
import { isLasting } from "../../../src/sync/session/greeting.ts";
import { toldHead } from "../../../src/sync/session/limit.ts";
import {
  openSession,
  type Session,
  type SessionEffect,
  type SessionEvent,
} from "../../../src/sync/session/state.ts";
import {
  differingSlots,
  digestOf,
  inventoryOf,
  slotOf,
  valueOf,
  type State,
} from "./contents.ts";
import { SessionAudit } from "./invariants.ts";
import type { Down, Up, Wire, Without } from "./network.ts";
import type { StoreModel } from "./store-model.ts";
import type { Surroundings } from "./surroundings.ts";

export type SessionNews = Without<SessionEvent, "nowMs">;
type Greeting = Extract<Up, { readonly type: "hello" }>;
type Offer = Extract<SessionEffect, { readonly type: "offer" }>;
type Write =
  | { readonly type: "welcome" }
  | { readonly type: "heartbeat" }
  | { readonly type: "offer"; readonly offer: Offer }
  | {
      readonly type: "bucket";
      readonly seq: bigint;
      readonly digest: BucketDigest;
    };

/** A diff of more buckets than this is too large for a Delta. */
const DELTA_SLOTS = 3;
const DUPLICATE_RETRY_MS = 10_000;

/** What a control plane remembers of a node over its streams. */
interface Memory {
  refuser: string;
  refusedRoots: readonly string[];
  forgiven: boolean;
  allowedEpoch: string;
}

/** The control plane's end of one stream: moves messages between the wire and the machine, as the real shell does. */
export class Link {
  readonly wire: Wire;
  readonly audit: SessionAudit;
  session: Session;
  /** Writes that wait for their turn; one message each. */
  writes: Write[] = [];
  /** What was written and has not drained. */
  undrained: Write | undefined;
  /** The node's Hello, while its state is looked for in the history; and what came of that. */
  looking: { readonly hello: Greeting; readonly forked: boolean } | undefined;
  /** What the frame in flight offers, kept for the node to pull from. */
  offered: { readonly seq: bigint; readonly state: State } | undefined;

  constructor(wire: Wire, session: Session, world: Surroundings) {
    this.wire = wire;
    this.session = session;
    this.audit = new SessionAudit(world);
  }
}

/** One control plane: its view of the store, its sessions, and what it remembers of nodes. */
export class ControlPlaneModel {
  readonly store: StoreModel;
  readonly links: Link[] = [];
  up = true;
  readonly #world: Surroundings;
  readonly #byNode = new Map<number, Link>();
  readonly #memory = new Map<number, Memory>();
  /** The newest state that it has read or made. Behind the store when another control plane has committed since. */
  #head: State;
  /** What nodes should serve: the head, but not at every commit. */
  #published: State;

  constructor(store: StoreModel, world: Surroundings) {
    this.store = store;
    this.#world = world;
    this.#head = store.head;
    this.#published = store.head;
  }

  get published(): State {
    return this.#published;
  }

  /** What a node should serve: what it is kept at, else what is published. */
  targetOf(node: number): State {
    return this.store.holdOf(node) ?? this.#published;
  }

  /** Somebody has said to what nodes are kept, or no more: all sessions are told what they should serve. */
  aim(): void {
    if (!this.up) return;
    // What it has not read or published yet may be what nodes were kept at.
    if (!this.publish(true))
      for (const link of [...this.links]) this.#aim(link);
  }

  #aim(link: Link): void {
    // Whose stream it is, its Hello says.
    const hold =
      link.session.at === "opening" && link.looking === undefined
        ? undefined
        : this.store.holdOf(link.wire.node);
    if (hold === undefined) {
      const { cursor, needs } = this.#published;
      this.dispatch(link, { type: "published", head: cursor, needs });
      return;
    }
    const epochs = [
      ...this.store.head.predecessors,
      this.store.head.cursor.epoch,
    ];
    this.dispatch(link, {
      type: "published",
      head: hold.cursor,
      needs: hold.needs,
      limit: {
        successors: epochs.slice(epochs.indexOf(hold.cursor.epoch) + 1),
        reachable: this.store.reaches(hold),
      },
    });
  }

  /** Whether there is anything to publish or to read. */
  get isBehind(): boolean {
    return this.#published !== this.store.head;
  }

  /** A transaction made here. It goes on from the newest state of the store. */
  commit(content: number): boolean {
    if (!this.up) return false;
    const state = this.store.commit(content);
    if (state === undefined) return false;
    this.#head = state;
    return true;
  }

  adopt(): void {
    this.#head = this.store.adopt();
  }

  /** Publishes the head to all sessions; when `poll`, after reading what others have committed. */
  publish(poll: boolean): boolean {
    if (poll) this.#head = this.store.head;
    if (this.#published === this.#head) return false;
    this.#published = this.#head;
    for (const link of [...this.links]) this.#aim(link);
    // The history was looked at anew: another control plane may have written what a node serves.
    if (poll)
      for (const link of [...this.links])
        if (link.session.forked)
          this.dispatch(link, {
            type: "placed",
            forked: this.#isForked(link.session.acked),
          });
    return true;
  }

  accept(wire: Wire): Link {
    const { cursor, needs } = this.#published;
    const link = new Link(
      wire,
      openSession(cursor, needs, this.#world.nowMs),
      this.#world,
    );
    this.links.push(link);
    return link;
  }

  /** This end of a stream is gone: the network says so. */
  abandon(link: Link): void {
    this.#drop(link);
  }

  tick(): void {
    for (const link of [...this.links]) this.dispatch(link, { type: "ticked" });
  }

  retry(node: number): void {
    const memory = this.#memory.get(node);
    if (memory === undefined) return;
    const link = this.#byNode.get(node);
    memory.refusedRoots = [];
    memory.forgiven = link === undefined;
    if (link === undefined) return;
    link.audit.pardoned();
    this.dispatch(link, { type: "retried" });
  }

  allow(node: number): void {
    const memory = this.#memory.get(node);
    if (memory === undefined) return;
    memory.allowedEpoch = this.#published.cursor.epoch;
    const link = this.#byNode.get(node);
    if (link !== undefined) this.dispatch(link, { type: "allowed" });
  }

  /** Whether somebody has allowed the node to follow an epoch. */
  allows(node: number, epoch: string): boolean {
    return this.#memory.get(node)?.allowedEpoch === epoch;
  }

  /** Whether the state of the frame in flight may be let go. */
  mayUnpin(link: Link): boolean {
    return (
      link.offered !== undefined &&
      !link.writes.some((write) => write.type === "offer") &&
      !link.audit.hasPriority
    );
  }

  /** The state that was offered last is no longer kept for pulling: too many others are. */
  unpin(link: Link): void {
    const { offered } = link;
    if (offered === undefined) return;
    link.offered = undefined;
    this.dispatch(link, { type: "unpinned", seq: offered.seq });
  }

  /** SIGTERM: Goodbye to all. The process is gone when all have been told. */
  drain(): void {
    this.up = false;
    for (const link of [...this.links])
      this.dispatch(link, {
        type: "dismissed",
        reason: GoodbyeReason.DRAIN,
        message: "the control plane shuts down",
        retryAfterMs: 500,
      });
    for (const link of [...this.links]) this.finish(link);
    this.#forgetProcess();
  }

  /** kill -9. What it remembers of nodes is written seldom: perhaps it is lost. */
  crash(memoryLost: boolean): void {
    this.up = false;
    for (const link of this.links) link.wire.leaveControlPlane();
    if (memoryLost) this.#memory.clear();
    this.#forgetProcess();
  }

  start(): void {
    this.up = true;
    this.#head = this.store.head;
    this.#published = this.#head;
  }

  /** Writes the next message of a stream. */
  write(link: Link): void {
    const write = link.writes.shift();
    if (write === undefined) return;
    link.undrained = write;
    switch (write.type) {
      case "welcome":
      case "heartbeat":
        link.wire.send({ type: write.type, head: toldHead(link.session) });
        return;
      case "offer":
        link.wire.send(this.#frameOf(link, write.offer));
        return;
      case "bucket":
        if (link.offered?.seq === write.seq)
          link.wire.send({
            type: "bucket",
            seq: write.seq,
            index: write.digest.index,
            value: this.#garbled(link.wire.node, valueOf(write.digest)),
          });
        // Replaced by a newer state meanwhile: nobody waits for it.
        else link.undrained = undefined;
        return;
      default:
        write satisfies never;
    }
  }

  /** The transport has taken what was written. */
  drained(link: Link): void {
    const { undrained } = link;
    link.undrained = undefined;
    if (undrained === undefined) return;
    if (undrained.type === "bucket") {
      const bytes = undrained.digest.size;
      this.dispatch(link, { type: "bucketsWritten", bytes });
      return;
    }
    link.audit.drained();
    this.dispatch(link, { type: "drained" });
  }

  /** Reads the next message of a node. */
  read(link: Link): void {
    const message = link.wire.up.shift();
    if (message === undefined) return;
    if (message.type === "end") {
      this.#drop(link);
      return;
    }
    if (link.session.at === "ended") return;
    if (message.type === "hello") this.#look(link, message);
    else this.dispatch(link, this.#eventOf(link, message));
  }

  /** What was looked for in the history is found, or not: the node may come in. Meanwhile anything may have happened. */
  admit(link: Link): void {
    const { looking } = link;
    link.looking = undefined;
    if (looking === undefined || link.session.at === "ended") return;
    this.dispatch(link, this.#admit(link, looking.hello, looking.forked));
  }

  /** Ends a stream whose Goodbye is written. */
  finish(link: Link): void {
    if (link.session.at !== "ended") return;
    link.wire.leaveControlPlane();
    this.#drop(link);
  }

  dispatch(link: Link, news: SessionNews): void {
    const before = link.session;
    const event: SessionEvent = { ...news, nowMs: this.#world.nowMs };
    const step = this.#world.stepSession(link, before, event);
    link.session = step.session;
    this.#remember(link, before, event);
    link.audit.check(this, link, before, event, step);
    for (const effect of step.effects) this.#perform(link, effect);
  }

  #perform(link: Link, effect: SessionEffect): void {
    switch (effect.type) {
      case "welcome":
      case "heartbeat":
        link.writes.push({ type: effect.type });
        return;
      case "offer": {
        const target = this.targetOf(link.wire.node);
        const state =
          target.cursor === effect.to ? target : this.store.retained(effect.to);
        if (state === undefined)
          throw new Error(`revision ${effect.to.revision} is not retained`);
        link.offered = { seq: effect.seq, state };
        link.writes.push({ type: "offer", offer: effect });
        return;
      }
      case "writeBuckets":
        for (const index of effect.indexes) {
          const { seq } = effect;
          const content = link.offered?.state.content ?? 0;
          const digest = digestOf(index, slotOf(content, index));
          link.writes.push({ type: "bucket", seq, digest });
        }
        return;
      case "goodbye":
        link.writes = [];
        link.wire.send({
          type: "goodbye",
          reason: effect.reason,
          retryAfterMs: effect.retryAfterMs,
        });
        return;
      case "alarm":
        return;
      default:
        effect satisfies never;
    }
  }

  #eventOf(
    link: Link,
    message: Exclude<Up, { type: "end" | "hello" }>,
  ): SessionNews {
    switch (message.type) {
      case "snapshotRequest":
        return { type: "snapshotRequested" };
      case "bucketRequest": {
        const { seq, buckets } = message;
        const content =
          link.offered?.seq === seq ? link.offered.state.content : undefined;
        let bytes = 0;
        let unknown = 0;
        for (const bucket of buckets)
          if (
            content !== undefined &&
            slotOf(content, bucket.index) === valueOf(bucket)
          )
            bytes += bucket.size;
          else unknown++;
        return { type: "bucketsRequested", seq, buckets, bytes, unknown };
      }
      case "ack":
        return { type: "acked", ack: message.ack };
      case "nack":
        return { type: "nacked", nack: message.nack };
      case "report":
        return { type: "reported", report: message.report };
    }
  }

  #look(link: Link, hello: Greeting): void {
    // Ahead of what this control plane knows: another may have committed it.
    const { have } = hello;
    const { cursor } = this.#head;
    this.publish(
      have?.epoch !== cursor.epoch || have.revision > cursor.revision,
    );
    const forked = !this.#world.isTrusting && this.#isForked(have);
    link.looking = { hello, forked };
  }

  #admit(link: Link, message: Greeting, forked: boolean): SessionNews {
    const { node, boot } = link.wire;
    const other = this.#byNode.get(node);
    if (other !== undefined && other.wire.boot !== boot)
      return {
        type: "dismissed",
        reason: GoodbyeReason.DUPLICATE,
        message: "another process with this id is connected",
        retryAfterMs: DUPLICATE_RETRY_MS,
      };
    if (other !== undefined)
      this.dispatch(other, {
        type: "dismissed",
        reason: GoodbyeReason.DUPLICATE,
        message: "replaced by a newer stream of the same process",
      });
    this.#byNode.set(node, link);
    this.publish(false);
    link.looking = { hello: message, forked };
    this.#aim(link);
    link.looking = undefined;
    const { have } = message;
    const refuser = `${message.build} ${message.features.length}`;
    let memory = this.#memory.get(node);
    if (memory === undefined) {
      memory = {
        refuser,
        refusedRoots: [],
        forgiven: false,
        allowedEpoch: "",
      };
      this.#memory.set(node, memory);
    }
    if (memory.refuser !== refuser) {
      memory.refuser = refuser;
      memory.refusedRoots = [];
    }
    const refused = memory.forgiven ? [] : [...message.refused];
    memory.forgiven = false;
    const hello: Hello = {
      $typeName: "holdfast.sync.v1.Hello",
      workspace: "",
      features: [...message.features],
      refused,
      ...(have === undefined ? {} : { have }),
    };
    return {
      type: "greeted",
      hello,
      refusedRoots: memory.refusedRoots,
      forked,
      allowed: memory.allowedEpoch === this.#published.cursor.epoch,
    };
  }

  #isForked(have: Cursor | undefined): boolean {
    return (
      have?.epoch === this.#published.cursor.epoch && !this.store.knows(have)
    );
  }

  #remember(link: Link, before: Session, event: SessionEvent): void {
    const memory = this.#memory.get(link.wire.node);
    const { session } = link;
    if (memory === undefined || this.#byNode.get(link.wire.node) !== link)
      return;
    if (
      event.type === "nacked" &&
      session.lastNack !== before.lastNack &&
      isLasting(event.nack.class) &&
      event.nack.cursor !== undefined
    ) {
      const { root } = event.nack.cursor;
      memory.refusedRoots = [
        ...memory.refusedRoots.filter((known) => known !== root),
        root,
      ].slice(-LIMITS.refusals);
    }
    if (
      event.type === "acked" &&
      session.lastAck !== before.lastAck &&
      event.ack.cursor?.epoch === memory.allowedEpoch
    )
      memory.allowedEpoch = "";
  }

  #frameOf(link: Link, offer: Offer): Down {
    const state = link.offered?.state;
    if (state === undefined)
      throw new Error(`what ${offer.seq} offers is not kept`);
    const { seq, from, to, known, whole, allowed } = offer;
    const base = from && this.store.retained(from);
    if (base !== undefined && from !== undefined) {
      const slots = differingSlots(base.content, state.content);
      if (slots.length <= DELTA_SLOTS)
        return {
          type: "frame",
          frame: { type: "delta", seq, from, to },
          changes: slots.flatMap((slot) => [
            slot,
            this.#garbled(link.wire.node, slotOf(state.content, slot)),
          ]),
          whole: false,
        };
    }
    const { digests, totals } = inventoryOf(state.content);
    return {
      type: "frame",
      frame: {
        type: "manifest",
        seq,
        to,
        buckets: known ? [] : digests,
        totals,
        predecessors: state.predecessors,
        allowed,
      },
      changes: [],
      whole,
    };
  }

  #garbled(node: number, value: number): number {
    return this.#world.garbles(node) ? (value % 7) + 1 : value;
  }

  #drop(link: Link): void {
    this.dispatch(link, { type: "disconnected" });
    link.wire.leaveControlPlane();
    const at = this.links.indexOf(link);
    if (at >= 0) this.links.splice(at, 1);
    if (this.#byNode.get(link.wire.node) === link)
      this.#byNode.delete(link.wire.node);
  }

  #forgetProcess(): void {
    this.links.length = 0;
    this.#byNode.clear();
  }
}
