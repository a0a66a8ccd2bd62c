import {
  NackClass,
  type BucketDigest,
  type Feature,
  type Refusal,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual } from "../../../src/model/cursor.ts";
import { mayConnect } from "../../../src/sync/replica.ts";
import {
  openReplica,
  type Frame,
  type Replica,
  type ReplicaEffect,
  type ReplicaEvent,
} from "../../../src/sync/replica/state.ts";
import {
  EMPTY,
  FEATURES,
  lossOf,
  rootOf,
  slotOf,
  valueOf,
  withSlot,
  type Content,
  type State,
} from "./contents.ts";
import { BrokenInvariant, NodeAudit } from "./invariants.ts";
import type { Down, Wire, Without } from "./network.ts";
import type { Surroundings } from "./surroundings.ts";

export type ReplicaNews = Without<ReplicaEvent, "nowMs">;
type Sent = Extract<Down, { readonly type: "frame" }>;
type Job = Extract<
  ReplicaEffect,
  { readonly type: "verify" | "prepare" | "persist" }
>;

/** A state that a node has, with the content that it made by itself of what it was sent. */
export interface Held {
  readonly state: State;
  readonly content: Content;
}

/** What survives the process: the replica's LevelDB and last-good.hfs. */
interface Disk {
  /** What is stored, and what was before the last change. */
  held: Held | undefined;
  previous: Held | undefined;
  lastGood: Held | undefined;
  refusals: readonly Refusal[];
  /** The build that refused. */
  refuser: number;
  full: boolean;
}

/** How a process ends or what becomes of its disk meanwhile. */
export type Crash =
  /** kill -9. */
  | "plain"
  /** kill -9 after the batch was synced, before it was served. */
  | "persisted"
  /** The last batch is gone although it was synced. */
  | "lostBatch"
  /** LevelDB cannot be read: last-good.hfs is used, which may not be there either. */
  | "damaged"
  /** An orderly end, and another build starts. */
  | "upgraded"
  /** It crashed again and again on what it serves: it starts on what it served before, and quarantines the root. */
  | "quarantined";

const LAST_GOOD_MS = 20_000;

/** One data plane: moves messages between the wire and the machine, and does the work of applies, as the real shell does. */
export class NodeModel {
  readonly index: number;
  readonly audit: NodeAudit;
  readonly disk: Disk = {
    held: undefined,
    previous: undefined,
    lastGood: undefined,
    refusals: [],
    refuser: 0,
    full: false,
  };
  replica: Replica;
  served: Held | undefined;
  wire: Wire | undefined;
  /** Not to connect before. */
  retryAtMs = 0;
  /** When what could not be stored is tried again. */
  storeAtMs = Infinity;
  /** How the next compile or write ends, if badly. */
  spoilt: "ok" | "refuse" | "fail" = "ok";
  build = 0;
  features: readonly Feature[];
  readonly #world: Surroundings;
  #boot = 0;
  /** What the last frame said, until it is taken up. */
  #arrived: Sent | undefined;
  #work: { readonly sent: Sent; content: Content | undefined } | undefined;
  #job: Job | undefined;
  /** Buckets that came whole: those wanted by a later manifest need not be fetched again. */
  #staged = new Set<BucketDigest>();
  #wanted = new Map<number, BucketDigest>();
  /** Contents that were compiled: compiling does not change its mind. */
  readonly #compiled = new Set<Content>();
  #lastGoodMs = 0;

  constructor(index: number, features: number, world: Surroundings) {
    this.index = index;
    this.#world = world;
    this.features = FEATURES[features] ?? [];
    this.replica = openReplica(undefined, [], world.nowMs);
    this.audit = new NodeAudit(world);
  }

  get boot(): string {
    return `${this.index} ${this.#boot}`;
  }

  get job(): Job | undefined {
    return this.#job;
  }

  get mayConnect(): boolean {
    return this.wire === undefined && mayConnect(this.replica);
  }

  connect(wire: Wire): void {
    this.wire = wire;
    this.dispatch({ type: "connected" });
  }

  tick(): void {
    this.dispatch({ type: "ticked" });
    if (this.#world.nowMs >= this.storeAtMs) this.retryStore();
    if (
      this.disk.held !== undefined &&
      this.#world.nowMs - this.#lastGoodMs >= LAST_GOOD_MS &&
      !this.disk.full
    ) {
      this.#lastGoodMs = this.#world.nowMs;
      this.disk.lastGood = this.disk.held;
    }
  }

  retryStore(): void {
    const { apply } = this.replica;
    this.storeAtMs = Infinity;
    if (apply?.phase !== "retry") return;
    this.dispatch({ type: "retryDue", seq: apply.frame.seq });
  }

  /** Reads the next message of the stream. */
  read(): void {
    const message = this.wire?.down.shift();
    switch (message?.type) {
      case undefined:
        return;
      case "welcome":
        this.dispatch({ type: "welcomed", head: message.head });
        return;
      case "heartbeat":
        this.dispatch({ type: "heard", head: message.head });
        return;
      case "goodbye":
        this.retryAtMs = this.#world.nowMs + (message.retryAfterMs ?? 0);
        return;
      case "frame":
        this.#arrived = message;
        this.audit.arrived(message.frame.to.root);
        this.dispatch({ type: "arrived", frame: message.frame });
        return;
      case "bucket":
        this.#receiveBucket(message);
        return;
      case "end":
        this.leave();
        return;
    }
  }

  /** The stream is over for this end. */
  leave(): void {
    const { wire } = this;
    if (wire === undefined) return;
    this.wire = undefined;
    wire.leaveNode();
    this.storeAtMs = Infinity;
    this.dispatch({ type: "disconnected" });
  }

  /** Ends the piece of work that is going on. */
  finishJob(outcome: "ok" | "refuse" | "fail"): void {
    const job = this.#job;
    if (job === undefined) return;
    this.#job = undefined;
    const { frame } = job;
    const { seq } = frame;
    // Given up meanwhile: the next stream may have begun one with the same seq, which this is no word about. What is being
    // written is written all the same.
    if (this.replica.apply?.frame !== frame && job.type !== "persist") return;
    switch (job.type) {
      case "verify":
        this.dispatch({ type: "verified", seq, ...this.#verify(frame) });
        return;
      case "prepare": {
        const content = this.#work?.content ?? EMPTY;
        if (outcome === "refuse" && !this.#compiled.has(content)) {
          this.dispatch({
            type: "refused",
            seq,
            class: NackClass.INVALID,
            violations: [],
          });
          return;
        }
        this.#compiled.add(content);
        this.dispatch({ type: "prepared", seq });
        return;
      }
      case "persist":
        if (outcome === "fail" || this.disk.full) {
          this.dispatch({ type: "persisted", seq, failure: "disk full" });
          return;
        }
        this.#store(frame);
        this.dispatch({ type: "persisted", seq });
        return;
    }
  }

  /** The process ends without notice, something may happen to its disk, and it starts again. */
  crash(how: Crash): boolean {
    const { disk } = this;
    switch (how) {
      case "plain":
        break;
      case "persisted":
        if (this.#job?.type !== "persist" || disk.full) return false;
        this.#store(this.#job.frame);
        break;
      case "lostBatch":
        if (disk.held === undefined) return false;
        disk.held = disk.previous;
        disk.previous = undefined;
        this.audit.excused();
        break;
      case "damaged":
        disk.held = disk.lastGood;
        disk.previous = undefined;
        disk.refusals = [];
        this.audit.excused();
        break;
      case "upgraded":
        this.build++;
        this.features = FEATURES[0] ?? [];
        break;
      case "quarantined": {
        const { held, previous } = disk;
        if (held === undefined || previous === undefined) return false;
        disk.held = previous;
        disk.previous = undefined;
        disk.refuser = this.build;
        disk.refusals = [
          ...disk.refusals,
          {
            $typeName: "holdfast.sync.v1.Refusal" as const,
            class: NackClass.CRASHED,
            cursor: held.state.cursor,
            violations: [],
          },
        ].slice(-16);
        this.audit.excused();
        break;
      }
    }
    this.#boot++;
    this.wire?.leaveNode();
    this.wire = undefined;
    this.#arrived = undefined;
    this.#work = undefined;
    this.#job = undefined;
    this.#staged.clear();
    this.#wanted.clear();
    this.storeAtMs = Infinity;
    this.retryAtMs = 0;
    if (disk.refuser !== this.build) disk.refusals = [];
    this.served = disk.held;
    this.replica = openReplica(
      disk.held?.state.cursor,
      disk.refusals,
      this.#world.nowMs,
    );
    this.audit.started(this);
    return true;
  }

  dispatch(news: ReplicaNews): void {
    const before = this.replica;
    const step = this.#world.stepReplica(this, before, {
      ...news,
      nowMs: this.#world.nowMs,
    });
    this.replica = step.replica;
    this.audit.check(this, before, news, step);
    for (const effect of step.effects) this.#perform(effect);
  }

  #perform(effect: ReplicaEffect): void {
    const { wire } = this;
    switch (effect.type) {
      case "greet":
        wire?.reply({
          type: "hello",
          build: this.build,
          features: this.features,
          have: effect.have,
          refused: effect.refused,
        });
        wire?.reply({ type: "snapshotRequest" });
        return;
      case "takeUp":
        this.#takeUp(effect.frame);
        return;
      case "requestBuckets":
        wire?.reply({
          type: "bucketRequest",
          seq: effect.seq,
          buckets: effect.buckets,
        });
        return;
      case "verify":
      case "prepare":
      case "persist":
        this.#job = effect;
        return;
      case "retryLater":
        this.storeAtMs = this.#world.nowMs + effect.delayMs;
        return;
      case "commit":
        this.#commit(effect.frame);
        this.dispatch({ type: "committed", seq: effect.frame.seq });
        return;
      case "ack":
        this.audit.acknowledges(this, effect.cursor);
        wire?.reply({
          type: "ack",
          ack: {
            $typeName: "holdfast.sync.v1.Ack",
            seq: effect.seq,
            cursor: effect.cursor,
          },
        });
        return;
      case "nack":
        wire?.reply({
          type: "nack",
          nack: {
            $typeName: "holdfast.sync.v1.Nack",
            seq: effect.seq,
            cursor: effect.cursor,
            class: effect.class,
            violations: [],
            ...(effect.kept === undefined ? {} : { kept: effect.kept }),
          },
        });
        return;
      case "remember":
        if (this.disk.full) return;
        this.disk.refusals = effect.refusals;
        this.disk.refuser = this.build;
        return;
      case "discard":
        if (this.#work?.sent.frame === effect.frame) this.#work = undefined;
        return;
      case "report":
        this.#report();
        return;
      case "confirmed":
        // Looked at with the event that it comes of.
        return;
      case "hangUp":
        this.audit.hangsUp(effect.reason);
        this.leave();
        return;
      default:
        effect satisfies never;
    }
  }

  #takeUp(frame: Frame): void {
    const sent = this.#arrived;
    if (sent?.frame !== frame)
      throw new Error(`frame ${frame.seq} is not the last that came`);
    this.#arrived = undefined;
    this.#work = { sent, content: undefined };
    this.#wanted.clear();
    if (frame.type === "delta") {
      this.dispatch({ type: "takenUp", seq: frame.seq, lacking: [] });
      return;
    }
    if (sent.whole) this.#staged.clear();
    for (const staged of this.#staged)
      if (!frame.buckets.includes(staged)) this.#staged.delete(staged);
    const content = this.served?.content ?? EMPTY;
    const lacking = frame.buckets.filter(
      (digest) =>
        sent.whole ||
        (!this.#staged.has(digest) &&
          slotOf(content, digest.index) !== valueOf(digest)),
    );
    for (const digest of lacking) this.#wanted.set(digest.index, digest);
    this.dispatch({ type: "takenUp", seq: frame.seq, lacking });
  }

  #receiveBucket(message: Extract<Down, { readonly type: "bucket" }>): void {
    const { seq, index, value } = message;
    const { apply } = this.replica;
    if (apply?.frame.seq !== seq || apply.phase !== "receive") {
      this.dispatch({ type: "heard" });
      return;
    }
    const digest = this.#wanted.get(index);
    if (digest === undefined) throw new Error(`bucket ${index} is not awaited`);
    this.#wanted.delete(index);
    if (valueOf(digest) === value) this.#staged.add(digest);
    this.dispatch({
      type: "bucketArrived",
      seq,
      index,
      ...(valueOf(digest) === value ? {} : { damage: "has another hash" }),
    });
  }

  /** Makes the content of what came, and compares its root. */
  #verify(frame: Frame): {
    readonly damage?: string;
    readonly loses?: { readonly removed: number; readonly held: number };
  } {
    const work = this.#work;
    if (work?.sent.frame !== frame) throw new Error("nothing to verify");
    const content = this.#assemble(work.sent);
    work.content = content;
    if (rootOf(content) !== frame.to.root) return { damage: "another root" };
    return this.served !== undefined &&
      this.served.state.cursor.epoch !== frame.to.epoch
      ? { loses: lossOf(this.served.content, content) }
      : {};
  }

  #assemble({ frame, changes }: Sent): Content {
    const served = this.served?.content ?? EMPTY;
    if (frame.type === "delta") {
      let content = served;
      for (let at = 0; at < changes.length; at += 2)
        content = withSlot(content, changes[at] ?? 0, changes[at + 1] ?? 0);
      return content;
    }
    if (frame.buckets.length === 0 && frame.totals.buckets > 0) return served;
    let content = EMPTY;
    for (const digest of frame.buckets) {
      if (
        !this.#staged.has(digest) &&
        slotOf(served, digest.index) !== valueOf(digest)
      )
        throw new BrokenInvariant(
          `bucket ${digest.index} did not come, and the node went on`,
        );
      content = withSlot(content, digest.index, valueOf(digest));
    }
    return content;
  }

  #held(frame: Frame): Held {
    const state = this.#world.committed(frame.to);
    const content = this.#work?.content ?? EMPTY;
    if (state === undefined) throw new Error("nobody committed what came");
    return { state, content };
  }

  #store(frame: Frame): void {
    const { disk } = this;
    const held = this.#held(frame);
    if (!cursorsEqual(disk.held?.state.cursor, frame.to))
      disk.previous = disk.held;
    disk.held = held;
  }

  #commit(frame: Frame): void {
    const held = this.#held(frame);
    this.audit.serves(this, this.served, held);
    this.served = held;
    this.#work = undefined;
    this.#staged.clear();
    this.#wanted.clear();
  }

  #report(): void {
    const { apply } = this.replica;
    this.wire?.reply({
      type: "report",
      report: {
        $typeName: "holdfast.sync.v1.Report",
        counters: [],
        targets: [],
        ...(apply === undefined
          ? {}
          : {
              progress: {
                $typeName: "holdfast.sync.v1.ApplyProgress" as const,
                seq: apply.frame.seq,
                step: apply.phase,
                // A slow step goes on: each report says more.
                done: BigInt(Math.floor(this.#world.nowMs / 20_000)),
                total: 0n,
              },
            }),
      },
    });
  }
}
