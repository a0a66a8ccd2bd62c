import { create } from "@bufbuild/protobuf";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  NackClass,
  TimingsSchema,
  type BucketBatch,
  type BucketChunk,
  type BucketDigest,
  type Delta,
  type Manifest,
  type Refusal,
  type Timings,
  type Violation,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Changes } from "../../model/snapshot.ts";
import type { Clock } from "../../runtime/clock.ts";
import { LIMITS } from "../../sync/limits.ts";
import type { Frame } from "../../sync/replica/state.ts";
import type { State } from "../replica/last-good.ts";
import { changesOf } from "./delta-content.ts";
import { andThen } from "./and-then.ts";
import { frameOf, required } from "./frame-of.ts";
import { Staging, type ChunkResult } from "./staging.ts";
import { losesOf, verifyFrame, type Verdict } from "./verify-frame.ts";

/** What compiles states and serves them. */
export interface Activation<P> {
  /** Builds what serving the state needs, beside what is served now. Changes nothing. */
  prepare(
    state: State,
    onProgress: (done: number, total: number) => void,
  ): Promise<
    | { readonly ok: true; readonly prepared: P }
    | {
        readonly ok: false;
        readonly class: "INVALID" | "UNSUPPORTED" | "CRASHED";
        readonly violations: readonly {
          readonly key: string;
          readonly field: string;
          readonly reason: string;
        }[];
      }
  >;
  /** Serves it from now on; where that takes time, from when the promise resolves. Never fails. */
  commit(prepared: P): void | Promise<void>;
  /** What was to be prepared, or is, will not be served. Never rejects. */
  drop?(cursor: Cursor): Promise<void>;
}

/** What makes states durable. */
export interface Persistence {
  /** `onProgress` hears from time to time how many of how many entries are written: a node that says nothing is taken for stuck. */
  persist(
    state: State,
    onProgress?: (done: number, total: number) => void,
  ): Promise<void>;
  remember(refusals: readonly Refusal[]): Promise<void>;
}

/** How far an apply is, for Reports. */
export interface Progress {
  readonly seq: bigint;
  readonly step: string;
  readonly done: number;
  readonly total: number;
}

/** Why a state was not prepared, in the words of the protocol. */
export interface Refused {
  readonly class: NackClass;
  readonly violations: readonly Violation[];
}

interface Work<P> {
  readonly frame: Frame;
  readonly startedMs: number;
  changes: Changes | undefined;
  state: State | undefined;
  /** Whether the activation has it. */
  handedOver: boolean;
  prepared: P | undefined;
  readonly timings: Timings;
}

/**
 * Does the work of an apply: bytes to buckets, buckets to a snapshot proved by its root, then prepared, stored, served.
 * When to do what is the machine's decision.
 */
export class Applier<P> {
  readonly #workspace: string;
  readonly #clock: Clock;
  readonly #activation: Activation<P>;
  readonly #persistence: Persistence;
  readonly #staging = new Staging();
  #served: State | undefined;
  /** Whether what is served is of no account against a state of another history. */
  #yields = false;
  /** What came last and is not taken up. */
  #arrived:
    { readonly frame: Frame; readonly message: Manifest | Delta } | undefined;
  #work: Work<P> | undefined;
  #progress: Progress | undefined;
  #progressedMs = 0;

  constructor(options: {
    readonly workspace: string;
    readonly clock: Clock;
    readonly activation: Activation<P>;
    readonly persistence: Persistence;
    readonly served: State | undefined;
  }) {
    this.#workspace = options.workspace;
    this.#clock = options.clock;
    this.#activation = options.activation;
    this.#persistence = options.persistence;
    this.#served = options.served;
  }

  /** Goes on from a state that came another way. It gives way to whatever a control plane sends. */
  begin(state: State): void {
    this.#served = state;
    this.#yields = true;
  }

  /** Goes on from another state than the one that was served, or from none. */
  restart(state: State | undefined): void {
    this.#served = state;
    this.#yields = false;
    this.#staging.clear();
  }

  get progress(): Progress | undefined {
    return this.#progress;
  }

  /**
   * The frame of a message. Nothing is done for it before it is taken up: another may be going on.
   *
   * @throws WireError when it cannot be one.
   */
  arrived(message: Manifest | Delta): Frame {
    const frame = frameOf(message);
    this.#arrived = { frame, message };
    return frame;
  }

  /**
   * Takes up the frame that came last: which buckets must be fetched.
   *
   * @throws WireError when it cannot be read.
   */
  takeUp(frame: Frame): readonly BucketDigest[] {
    if (this.#arrived?.frame !== frame)
      throw new Error(`frame ${frame.seq} is not the last that came`);
    const { message } = this.#arrived;
    this.#arrived = undefined;
    if (message.$typeName === "holdfast.sync.v1.Delta") {
      this.#begin(frame, changesOf(message));
      return [];
    }
    this.#begin(frame, undefined);
    return this.#staging.begin(
      message.buckets,
      this.#served?.snapshot,
      message.whole,
    );
  }

  /** When something of a frame last came. */
  get progressedMs(): number {
    return this.#progressedMs;
  }

  /** Takes in a chunk of a bucket. */
  receive(chunk: BucketChunk): ChunkResult {
    const result = this.#staging.receive(chunk);
    if (result.type === "whole") this.#received(1);
    return result;
  }

  /**
   * Takes in several whole buckets.
   *
   * @throws WireError when they cannot be read.
   */
  receiveAll(batch: BucketBatch): ReturnType<Staging["receiveAll"]> {
    const arrived = this.#staging.receiveAll(batch);
    this.#received(arrived.length);
    return arrived;
  }

  #received(buckets: number): void {
    if (this.#progress === undefined) return;
    const { done, ...progress } = this.#progress;
    this.#progress = { ...progress, done: done + buckets };
    this.#progressedMs = this.#clock.monotonic();
  }

  /** Builds the snapshot of a frame and compares its root. */
  async verify(frame: Frame): Promise<Verdict> {
    const work = this.#workOf(frame);
    work.timings.receiveUs = this.#since(work.startedMs);
    const startedMs = this.#step(frame.seq, "verify", 0);
    const onEntries = (entries: number): void => {
      if (this.#work !== work || this.#progress?.step !== "verify") return;
      const { done, ...progress } = this.#progress;
      this.#progress = { ...progress, done: done + entries };
    };
    const snapshot = await verifyFrame(
      frame,
      {
        workspace: this.#workspace,
        staging: this.#staging,
        served: this.#served,
        changes: work.changes,
      },
      onEntries,
    );
    if (typeof snapshot === "string") return { damage: snapshot };
    const served = this.#served;
    const loses =
      served === undefined ||
      this.#yields ||
      served.cursor.epoch === frame.to.epoch
        ? undefined
        : await losesOf(served, snapshot, onEntries);
    work.state = { cursor: frame.to, snapshot };
    work.timings.verifyUs = this.#since(startedMs);
    return loses === undefined ? {} : { loses };
  }

  /** Compiles it. Why it cannot be served, or nothing. */
  async prepare(frame: Frame): Promise<Refused | undefined> {
    const work = this.#workOf(frame);
    const state = required(work.state, "a verified state");
    const startedMs = this.#step(
      frame.seq,
      "prepare",
      state.snapshot.entryCount,
    );
    work.handedOver = true;
    const result = await this.#activation.prepare(
      state,
      this.#progressOf(work, "prepare"),
    );
    if (!result.ok)
      return {
        class: NackClass[result.class],
        violations: result.violations.map(({ key, field, reason }) => ({
          $typeName: "holdfast.sync.v1.Violation",
          key: key.slice(0, 255),
          field: field.slice(0, 512),
          reason: reason.slice(0, LIMITS.reasonChars),
        })),
      };
    work.prepared = result.prepared;
    work.timings.prepareUs = this.#since(startedMs);
    return undefined;
  }

  /** Makes it durable. Rejects with what the disk said. */
  async persist(frame: Frame): Promise<void> {
    const work = this.#workOf(frame);
    const state = required(work.state, "a verified state");
    const startedMs = this.#step(frame.seq, "persist", 0);
    await this.#persistence.persist(state, this.#progressOf(work, "persist"));
    work.timings.persistUs = this.#since(startedMs);
  }

  /** Serves it: when this returns, or when its promise resolves. */
  commit(frame: Frame): void | Promise<void> {
    const work = this.#workOf(frame);
    const startedMs = this.#step(frame.seq, "commit", 0);
    const state = required(work.state, "a verified state");
    const served = (): void => {
      this.#served = state;
      this.#yields = false;
      this.#staging.clear();
      this.#progress = undefined;
      work.timings.commitUs = this.#since(startedMs);
    };
    return andThen(
      this.#activation.commit(required(work.prepared, "a prepared state")),
      served,
    );
  }

  /** Lets go of what was made of a frame. Buckets that came are kept. */
  discard(frame: Frame): void {
    const work = this.#work;
    if (work?.frame !== frame) return;
    this.#work = undefined;
    this.#progress = undefined;
    if (work.handedOver) void this.#activation.drop?.(frame.to);
  }

  /** How long the steps of the last apply took, if it was of this frame. */
  timings(seq: bigint): Timings | undefined {
    return this.#work?.frame.seq === seq ? this.#work.timings : undefined;
  }

  remember(refusals: readonly Refusal[]): Promise<void> {
    return this.#persistence.remember(refusals);
  }

  #begin(frame: Frame, changes: Changes | undefined): void {
    this.#progressedMs = this.#clock.monotonic();
    this.#work = {
      frame,
      startedMs: this.#progressedMs,
      changes,
      state: undefined,
      handedOver: false,
      prepared: undefined,
      timings: create(TimingsSchema),
    };
    this.#progress = { seq: frame.seq, step: "receive", done: 0, total: 0 };
  }

  #workOf(frame: Frame): Work<P> {
    // Not by its number: each stream counts anew, and work of an earlier one may still be going on.
    if (this.#work?.frame !== frame)
      throw new Error(`frame ${frame.seq} is not being applied`);
    return this.#work;
  }

  #step(seq: bigint, step: string, total: number): number {
    this.#progress = { seq, step, done: 0, total };
    return this.#clock.monotonic();
  }

  #since(startedMs: number): bigint {
    return BigInt(Math.round((this.#clock.monotonic() - startedMs) * 1000));
  }

  #progressOf(
    work: Work<P>,
    step: string,
  ): (done: number, total: number) => void {
    return (done, total) => {
      if (this.#work === work)
        this.#progress = { seq: work.frame.seq, step, done, total };
    };
  }
}
