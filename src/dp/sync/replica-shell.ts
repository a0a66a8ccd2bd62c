import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  NackClass,
  type Feature,
  type NodeInfo,
  type Refusal,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { describeCursor } from "../../model/cursor.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { abridged } from "../../sync/editions.ts";
import { BUCKET_BATCH } from "../../sync/features.ts";
import { LIMITS } from "../../sync/limits.ts";
import { nackClassName } from "../../sync/names.ts";
import { mayConnect, stepReplica } from "../../sync/replica.ts";
import {
  openReplica,
  type Frame,
  type Replica,
  type ReplicaEffect,
  type ReplicaEvent,
} from "../../sync/replica/state.ts";
import type { State } from "../replica/last-good.ts";
import { andThen } from "./and-then.ts";
import type { Applier } from "./applier.ts";
import { messageOf } from "./message-of.ts";
import { TargetReporter, type ToldTarget } from "./target-news.ts";
import type { SyncMetrics } from "./sync-metrics.ts";
import type { Outgoing } from "./sync-stream.ts";

/** What the link itself can do, whatever is served. */
const LINK_FEATURE = { name: BUCKET_BATCH, version: 1 };

/** An event before the time is put on it. */
export type News = ReplicaEvent extends infer E
  ? E extends ReplicaEvent
    ? Omit<E, "nowMs">
    : never
  : never;

/** Where messages to the control plane go. */
export interface Outlet {
  /** Messages that have not left. */
  readonly backlog: number;
  send(message: Outgoing): void;
  hangUp(reason: string): void;
}

export interface ReplicaShellOptions<P> {
  readonly workspace: string;
  readonly node: Pick<
    NodeInfo,
    "id" | "boot" | "build" | "hostname" | "labels"
  >;
  readonly features: readonly Pick<Feature, "name" | "version">[];
  readonly applier: Applier<P>;
  readonly serving: Cursor | undefined;
  readonly refusals: readonly Refusal[];
  /** Requests served, by revision, since the last report. */
  readonly takeCounters: () => readonly {
    readonly revision: bigint;
    readonly requests: bigint;
    readonly errors: bigint;
  }[];
  /** The targets of upstreams and how they are doing, the most interesting first. Absent: none are told of. */
  readonly targets?: () => readonly ToldTarget[];
  /** Hears each time a control plane says that what is served is its newest state. Default: nobody does. */
  readonly onConfirmed?: (cursor: Cursor) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often the control plane hears how far an apply is: it takes a node that says nothing of it for stuck. */
const PROGRESS_MS = 5_000;

/** Has the replica's machine: tells it what happens, and does what it says. */
export class ReplicaShell<P> {
  readonly #options: ReplicaShellOptions<P>;
  readonly #metrics: SyncMetrics;
  readonly #targets: TargetReporter | undefined;
  #replica: Replica;
  #outlet: Outlet | undefined;
  #reportedMs: number;
  #retryTimer: Timer | undefined;
  /** Called when an apply that outlived its stream has ended. */
  #idle: (() => void) | undefined;

  constructor(options: ReplicaShellOptions<P>, metrics: SyncMetrics) {
    this.#options = options;
    this.#metrics = metrics;
    this.#targets =
      options.targets === undefined
        ? undefined
        : new TargetReporter(options.targets);
    const { clock, serving, refusals } = options;
    this.#reportedMs = clock.monotonic();
    this.#replica = openReplica(serving, refusals, this.#reportedMs);
  }

  get replica(): Replica {
    return this.#replica;
  }

  /**
   * Goes on from a state that came another way, as if it had been there from the beginning. False, having done nothing,
   * when anything is served already or a control plane is there.
   */
  begin(state: State): boolean {
    const { serving, refusals } = this.#replica;
    if (serving !== undefined || !mayConnect(this.#replica)) return false;
    const { applier, clock } = this.#options;
    applier.begin(state);
    this.#replica = openReplica(state.cursor, refusals, clock.monotonic());
    return true;
  }

  /** Goes on from another state than the one that was served, as a process does that starts with it. No stream is open. */
  restart(state: State | undefined, refusals: readonly Refusal[]): void {
    if (!mayConnect(this.#replica))
      throw new TypeError("a stream is open, or an apply is going on");
    const { applier, clock } = this.#options;
    applier.restart(state);
    this.#replica = openReplica(state?.cursor, refusals, clock.monotonic());
  }

  /** A stream is open. */
  connect(outlet: Outlet): void {
    this.#outlet = outlet;
    this.#targets?.forget();
    this.#reportedMs = this.#options.clock.monotonic();
    this.dispatch({ type: "connected" });
  }

  /** The stream is gone. An apply that is being made durable is still finished. */
  disconnect(): void {
    this.#outlet = undefined;
    this.#retryTimer?.cancel();
    this.dispatch({ type: "disconnected" });
  }

  /** Time has passed. */
  tick(): void {
    this.dispatch({ type: "ticked" });
    const { apply } = this.#replica;
    if (apply === undefined) return;
    const nowMs = this.#options.clock.monotonic();
    if (nowMs - this.#reportedMs >= PROGRESS_MS) this.#report();
    const { progressedMs } = this.#options.applier;
    if (apply.phase === "receive" && nowMs - progressedMs > LIMITS.applyMs)
      this.#outlet?.hangUp(
        `no bucket came within ${LIMITS.applyMs / 1000} s of the last`,
      );
  }

  /** Resolves when no apply is going on any more. */
  async settled(): Promise<void> {
    if (this.#replica.apply === undefined) return;
    await new Promise<void>((resolve) => {
      this.#idle = () => {
        this.#idle = undefined;
        resolve();
      };
    });
  }

  /** Tells the machine, and does what it says. */
  dispatch(event: News): void {
    const nowMs = this.#options.clock.monotonic();
    const step = stepReplica(this.#replica, { ...event, nowMs });
    this.#replica = step.replica;
    for (const effect of step.effects) this.#perform(effect);
    if (this.#replica.apply === undefined) this.#idle?.();
  }

  #perform(effect: ReplicaEffect): void {
    const { applier, logger } = this.#options;
    switch (effect.type) {
      case "greet":
        this.#greet(effect.have, effect.refused);
        return;
      case "takeUp":
        this.#takeUp(effect.frame);
        return;
      case "requestBuckets":
        this.#outlet?.send({
          case: "bucketRequest",
          value: {
            seq: effect.seq,
            buckets: effect.buckets.map(({ index, hash }) => ({ index, hash })),
          },
        });
        return;
      case "verify":
        this.#work(
          effect.frame,
          () => applier.verify(effect.frame),
          (verdict) => ({
            type: "verified",
            seq: effect.frame.seq,
            ...verdict,
          }),
        );
        return;
      case "prepare":
        this.#work(
          effect.frame,
          () => applier.prepare(effect.frame),
          (refused) =>
            refused === undefined
              ? { type: "prepared", seq: effect.frame.seq }
              : { type: "refused", seq: effect.frame.seq, ...refused },
        );
        return;
      case "persist":
        this.#persist(effect.frame);
        return;
      case "retryLater":
        this.#retryTimer?.cancel();
        this.#retryTimer = this.#options.clock.setTimer(effect.delayMs, () => {
          this.dispatch({ type: "retryDue", seq: effect.seq });
        });
        return;
      case "commit":
        void andThen(applier.commit(effect.frame), () => {
          logger.info("config.applied", {
            revision: effect.frame.to.revision,
            root: effect.frame.to.root,
          });
          this.#metrics.applied("applied");
          this.dispatch({ type: "committed", seq: effect.frame.seq });
        });
        return;
      case "ack":
        this.#outlet?.send({
          case: "ack",
          value: {
            seq: effect.seq,
            cursor: effect.cursor,
            timings: applier.timings(effect.seq),
          },
        });
        return;
      case "nack":
        this.#nack(effect);
        return;
      case "remember":
        void applier.remember(effect.refusals).catch((error: unknown) => {
          logger.warn("replica.refusals_not_stored", { err: error });
        });
        return;
      case "discard":
        applier.discard(effect.frame);
        return;
      case "report":
        this.#report();
        return;
      case "confirmed":
        this.#options.onConfirmed?.(effect.cursor);
        return;
      case "hangUp":
        this.#outlet?.hangUp(effect.reason);
        return;
      default:
        effect satisfies never;
    }
  }

  #takeUp(frame: Frame): void {
    let lacking;
    try {
      lacking = this.#options.applier.takeUp(frame);
    } catch (error) {
      this.#outlet?.hangUp(messageOf(error));
      return;
    }
    this.dispatch({ type: "takenUp", seq: frame.seq, lacking });
  }

  #persist(frame: Frame): void {
    const { applier, logger } = this.#options;
    void applier.persist(frame).then(
      () => {
        this.dispatch({ type: "persisted", seq: frame.seq });
      },
      (error: unknown) => {
        logger.error("replica.not_stored", {
          revision: frame.to.revision,
          err: error,
        });
        this.dispatch({
          type: "persisted",
          seq: frame.seq,
          failure: messageOf(error),
        });
      },
    );
  }

  /** Does a step of an apply and tells the machine. A failure that is nobody's expectation refuses the state. */
  #work<T>(
    frame: Frame,
    run: () => Promise<T>,
    eventOf: (result: T) => News,
  ): void {
    // Given up meanwhile: the next stream may have begun one with the same seq, which this is no word about.
    const isCurrent = (): boolean => this.#replica.apply?.frame === frame;
    void run().then(
      (result) => {
        if (isCurrent()) this.dispatch(eventOf(result));
      },
      (error: unknown) => {
        if (!isCurrent()) return;
        this.#options.logger.error("config.apply_failed", {
          revision: frame.to.revision,
          err: error,
        });
        // Whichever step it was in: the machine ignores the word about the other.
        const reason = `the data plane failed on it: ${messageOf(error)}`;
        this.dispatch({ type: "verified", seq: frame.seq, damage: reason });
        this.dispatch({
          type: "refused",
          seq: frame.seq,
          class: NackClass.INVALID,
          violations: [
            {
              $typeName: "holdfast.sync.v1.Violation",
              key: "",
              field: "",
              reason: reason.slice(0, LIMITS.reasonChars),
            },
          ],
        });
      },
    );
  }

  #greet(have: Cursor | undefined, refused: readonly Refusal[]): void {
    const { node, features, workspace } = this.#options;
    this.#outlet?.send({
      case: "hello",
      value: {
        node: { ...node },
        workspace,
        features: abridged([...features, LINK_FEATURE]).map(
          ({ name, version }) => ({ name, version }),
        ),
        refused: [...refused],
        have,
      },
    });
    this.#outlet?.send({ case: "snapshotRequest", value: {} });
  }

  #nack(effect: Extract<ReplicaEffect, { type: "nack" }>): void {
    this.#options.logger.warn("config.refused", {
      revision: effect.cursor.revision,
      class: nackClassName(effect.class),
      kept: describeCursor(effect.kept),
      violations: effect.violations.slice(0, 3),
    });
    this.#metrics.applied(nackClassName(effect.class));
    this.#outlet?.send({
      case: "nack",
      value: {
        seq: effect.seq,
        cursor: effect.cursor,
        class: effect.class,
        violations: [...effect.violations],
        kept: effect.kept,
      },
    });
  }

  #report(): void {
    // Skipped, not queued: the next one says it all, and counters that are taken and cannot be sent would be lost.
    if (this.#outlet === undefined || this.#outlet.backlog > 0) return;
    this.#reportedMs = this.#options.clock.monotonic();
    const { progress } = this.#options.applier;
    this.#outlet.send({
      case: "report",
      value: {
        counters: [...this.#options.takeCounters()],
        ...this.#targets?.take(),
        serving: this.#replica.serving,
        progress: progress && {
          seq: progress.seq,
          step: progress.step,
          done: BigInt(progress.done),
          total: BigInt(progress.total),
        },
      },
    });
  }
}
