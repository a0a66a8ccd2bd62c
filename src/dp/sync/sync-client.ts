import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs, type Duration } from "@bufbuild/protobuf/wkt";
import { createValidator, type Validator } from "@bufbuild/protovalidate";
import { Counter, Gauge, type Registry } from "prom-client";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  GoodbyeReason,
  NackClass,
  SyncService,
  type BucketChunk,
  type ConnectResponse,
  type Feature,
  type Goodbye,
  type NodeInfo,
  type Refusal,
  type RetryPolicy,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { describeCursor } from "../../model/cursor.ts";
import {
  backoffMs,
  SYNC_BACKOFF,
  type BackoffOptions,
} from "../../runtime/backoff.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import {
  messagesOf,
  sendMessage,
  type BidiClientCall,
} from "../../runtime/grpc.ts";
import { GrpcClient } from "../../runtime/grpc-client.ts";
import { formatHostPort, type HostPort } from "../../runtime/host-port.ts";
import type { Logger } from "../../runtime/logger.ts";
import { LIMITS } from "../../sync/limits.ts";
import { messageName, nackClassName } from "../../sync/names.ts";
import {
  openReplica,
  stepReplica,
  type Frame,
  type Replica,
  type ReplicaEffect,
  type ReplicaEvent,
} from "../../sync/replica.ts";
import type { Applier } from "./applier.ts";

type Call = BidiClientCall<(typeof SyncService)["method"]["connect"]>;
type RequestInit = NonNullable<
  MessageInitShape<typeof ConnectRequestSchema>["message"]
>;
/** An event before the time is put on it. */
type News = ReplicaEvent extends infer E
  ? E extends ReplicaEvent
    ? Omit<E, "nowMs">
    : never
  : never;

/** Requests served, by revision, since the last report. */
type TakeCounters = () => readonly {
  readonly revision: bigint;
  readonly requests: bigint;
  readonly errors: bigint;
}[];

export interface SyncClientOptions<P> {
  /** Tried in turn, beginning with the first. */
  readonly controlPlanes: readonly HostPort[];
  readonly workspace: string;
  readonly node: Pick<
    NodeInfo,
    "id" | "boot" | "build" | "hostname" | "labels"
  >;
  readonly features: readonly Pick<Feature, "name" | "version">[];
  readonly applier: Applier<P>;
  readonly serving: Cursor | undefined;
  readonly refusals: readonly Refusal[];
  readonly takeCounters: TakeCounters;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Registry;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/** How a stream ended. */
interface Ending {
  readonly reason: string;
  readonly lastedMs: number;
  readonly retryAfterMs: number;
}

const TICK_MS = 1_000;
/** How long one attempt to connect may take. */
const CONNECT_MS = 10_000;

let validator: Validator | undefined;

/**
 * Keeps a data plane in step with its control plane: connects, asks for the full snapshot, applies what comes, answers,
 * and connects again. Moves messages between the transport and the replica's machine; what to do when is decided there.
 */
export class SyncClient<P> {
  readonly #options: SyncClientOptions<P>;
  readonly #messages: Counter<"direction" | "type">;
  readonly #applies: Counter<"outcome">;
  #replica: Replica;
  #stream: { readonly call: Call; readonly close: AbortController } | undefined;
  #controlPlane: string | undefined;
  #sending: Promise<void> = Promise.resolve();
  #goodbye: Goodbye | undefined;
  /** How to connect again: as the last control plane asked for, within reason. */
  #retry = retryOf(undefined);
  #retryTimer: Timer | undefined;
  /** Called when an apply that outlived its stream has ended. */
  #idle: (() => void) | undefined;

  constructor(options: SyncClientOptions<P>) {
    this.#options = options;
    const { clock, metrics, serving, refusals } = options;
    this.#replica = openReplica(serving, refusals, clock.monotonic());
    const registers = [metrics];
    this.#messages = new Counter({
      name: "holdfast_dp_sync_messages_total",
      help: "Messages of the sync protocol, by direction and type.",
      labelNames: ["direction", "type"],
      registers,
    });
    this.#applies = new Counter({
      name: "holdfast_dp_applies_total",
      help: "States received, by what became of them.",
      labelNames: ["outcome"],
      registers,
    });
    const replica = (): Replica => this.#replica;
    new Gauge({
      name: "holdfast_dp_control_plane_connected",
      help: "Whether a control plane has welcomed this node.",
      registers,
      collect() {
        this.set(replica().at === "online" ? 1 : 0);
      },
    });
    new Gauge({
      name: "holdfast_dp_serving_revision",
      help: "The revision served; -1 without any configuration.",
      registers,
      collect() {
        const cursor = replica().serving;
        this.set(cursor === undefined ? -1 : Number(cursor.revision));
      },
    });
  }

  /** What is served now. */
  get serving(): Cursor | undefined {
    return this.#replica.serving;
  }

  /** The control plane that has welcomed this node; undefined when there is none. */
  get controlPlane(): string | undefined {
    return this.#replica.at === "online" ? this.#controlPlane : undefined;
  }

  /** What this node has refused. */
  get refusals(): readonly Refusal[] {
    return this.#replica.refusals;
  }

  /** Runs until the signal is aborted. An apply that is being made durable then is finished first. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, controlPlanes, random } = this.#options;
    let failures = 0;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const target = controlPlanes[attempt % controlPlanes.length];
      if (target === undefined)
        throw new TypeError("a data plane needs at least one control plane");
      const address = formatHostPort(target);
      const ending = await this.#connect(target, signal);
      if (isAborted(signal)) break;
      failures = ending.lastedMs >= this.#retry.resetMs ? 1 : failures + 1;
      const delayMs = Math.max(
        backoffMs(failures, this.#retry, random),
        Math.min(ending.retryAfterMs, LIMITS.retryAfterMs),
      );
      const line = {
        control_plane: address,
        reason: ending.reason,
        retry_ms: Math.round(delayMs),
        failures,
      };
      if (failures === 1) logger.warn("sync.disconnected", line);
      else logger.info("sync.retrying", line);
      await clock.sleep(delayMs, signal).catch(() => undefined);
    }
    this.#retryTimer?.cancel();
    await this.#settled();
  }

  async #connect(target: HostPort, signal: AbortSignal): Promise<Ending> {
    const { clock, logger } = this.#options;
    await this.#settled();
    const startedMs = clock.monotonic();
    const close = new AbortController();
    const ended = AbortSignal.any([signal, close.signal]);
    const client = new GrpcClient(target, {
      maxReceiveBytes: LIMITS.messageBytes,
    });
    this.#goodbye = undefined;
    let reason = "the stream ended";
    let ticking: Timer | undefined;
    const tick = (): void => {
      ticking = clock.setTimer(TICK_MS, () => {
        this.#dispatch({ type: "ticked" });
        tick();
      });
    };
    try {
      await client.connect(CONNECT_MS, ended).catch((error: unknown) => {
        throw new Error(`cannot connect to ${formatHostPort(target)}`, {
          cause: error,
        });
      });
      const call = client.bidi(SyncService.method.connect, ended);
      const failed = new Promise<never>((_resolve, reject) => {
        call.on("error", reject);
      });
      failed.catch(() => undefined);
      this.#stream = { call, close };
      this.#controlPlane = formatHostPort(target);
      this.#sending = Promise.resolve();
      this.#dispatch({ type: "connected" });
      tick();
      await Promise.race([this.#read(call), failed]);
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    } finally {
      ticking?.cancel();
      this.#stream = undefined;
      this.#retryTimer?.cancel();
      if (close.signal.reason instanceof Error && close.signal.aborted)
        reason = close.signal.reason.message;
      close.abort();
      client.close();
      this.#dispatch({ type: "disconnected" });
    }
    const goodbye = this.#goodbye as Goodbye | undefined;
    if (goodbye !== undefined) {
      const why = goodbyeName(goodbye.reason);
      reason = `${why}: ${goodbye.message}`;
      if (
        goodbye.reason !== GoodbyeReason.DRAIN &&
        goodbye.reason !== GoodbyeReason.OVERLOAD
      )
        logger.error("sync.dismissed", {
          control_plane: formatHostPort(target),
          reason,
        });
    }
    return {
      reason,
      lastedMs: clock.monotonic() - startedMs,
      retryAfterMs:
        goodbye?.retryAfter === undefined ? 0 : durationMs(goodbye.retryAfter),
    };
  }

  async #read(call: Call): Promise<void> {
    for await (const message of messagesOf(call)) this.#receive(message);
  }

  #receive(response: ConnectResponse): void {
    const { message } = response;
    const { logger, applier } = this.#options;
    this.#messages.inc({ direction: "in", type: messageName(message.case) });
    validator ??= createValidator();
    const result = validator.validate(ConnectResponseSchema, response);
    if (result.kind !== "valid") {
      this.#hangUp(
        `malformed ${message.case ?? "message"}: ${result.error.message}`,
      );
      return;
    }
    try {
      switch (message.case) {
        case "welcome":
          logger.info("sync.welcomed", {
            control_plane: this.#controlPlane,
            session: message.value.session,
            head: message.value.head?.revision,
          });
          for (const missing of message.value.missing)
            logger.error("sync.feature_missing", {
              feature: missing.feature?.name,
              needed_by: missing.keys,
              consequence: missing.consequence,
            });
          this.#retry = retryOf(message.value.retry);
          this.#dispatch({ type: "welcomed" });
          return;
        case "manifest": {
          const frame = applier.arrived(message.value);
          logger.debug("sync.manifest", {
            seq: frame.seq,
            revision: frame.to.revision,
            buckets: message.value.buckets.length,
          });
          this.#dispatch({ type: "arrived", frame });
          return;
        }
        case "delta": {
          const frame = applier.arrived(message.value);
          logger.debug("sync.delta", {
            seq: frame.seq,
            revision: frame.to.revision,
          });
          this.#dispatch({ type: "arrived", frame });
          return;
        }
        case "bucketChunk":
          this.#receiveChunk(message.value);
          return;
        case "heartbeat":
          this.#dispatch({ type: "heard" });
          return;
        case "goodbye":
          this.#goodbye = message.value;
          return;
        case undefined:
          // Of a newer control plane: what matters is announced in Hello's features.
          this.#dispatch({ type: "heard" });
          return;
      }
    } catch (error) {
      this.#hangUp(error instanceof Error ? error.message : String(error));
    }
  }

  #receiveChunk(chunk: BucketChunk): void {
    const { apply } = this.#replica;
    // Of a manifest that was replaced.
    if (apply?.frame.seq !== chunk.seq || apply.phase !== "receive") {
      this.#dispatch({ type: "heard" });
      return;
    }
    // Before memory is made for it: what was asked for is bounded.
    if (!apply.outstanding.some(({ index }) => index === chunk.index)) {
      this.#hangUp(`bucket ${chunk.index} came, which was not asked for`);
      return;
    }
    const result = this.#options.applier.staging.receive(chunk);
    switch (result.type) {
      case "more":
        this.#dispatch({ type: "heard" });
        return;
      case "breach":
        this.#hangUp(result.reason);
        return;
      case "whole":
      case "damaged":
        this.#dispatch({
          type: "bucketArrived",
          seq: chunk.seq,
          index: chunk.index,
          ...(result.type === "damaged" ? { damage: result.reason } : {}),
        });
        return;
      default:
        result satisfies never;
    }
  }

  #dispatch(event: News): void {
    const nowMs = this.#options.clock.monotonic();
    const step = stepReplica(this.#replica, {
      ...event,
      nowMs,
    });
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
        this.#send({
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
          (damage) => ({
            type: "verified",
            seq: effect.frame.seq,
            ...(damage === undefined ? {} : { damage }),
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
          this.#dispatch({ type: "retryDue", seq: effect.seq });
        });
        return;
      case "commit":
        applier.commit(effect.frame);
        logger.info("config.applied", {
          revision: effect.frame.to.revision,
          root: effect.frame.to.root,
        });
        this.#applies.inc({ outcome: "applied" });
        this.#dispatch({ type: "committed", seq: effect.frame.seq });
        return;
      case "ack":
        this.#send({
          case: "ack",
          value: {
            seq: effect.seq,
            cursor: effect.cursor,
            timings: applier.timings(effect.seq),
          },
        });
        return;
      case "nack":
        logger.warn("config.refused", {
          revision: effect.cursor.revision,
          class: nackClassName(effect.class),
          kept: describeCursor(effect.kept),
          violations: effect.violations.slice(0, 3),
        });
        this.#applies.inc({ outcome: nackClassName(effect.class) });
        this.#send({
          case: "nack",
          value: {
            seq: effect.seq,
            cursor: effect.cursor,
            class: effect.class,
            violations: [...effect.violations],
            kept: effect.kept,
          },
        });
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
        return;
      case "hangUp":
        this.#hangUp(effect.reason);
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
      this.#hangUp(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#dispatch({ type: "takenUp", seq: frame.seq, lacking });
  }

  #persist(frame: Frame): void {
    const { applier, logger } = this.#options;
    void applier.persist(frame).then(
      () => {
        this.#dispatch({ type: "persisted", seq: frame.seq });
      },
      (error: unknown) => {
        logger.error("replica.not_stored", {
          revision: frame.to.revision,
          err: error,
        });
        this.#dispatch({
          type: "persisted",
          seq: frame.seq,
          failure: error instanceof Error ? error.message : String(error),
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
        if (isCurrent()) this.#dispatch(eventOf(result));
      },
      (error: unknown) => {
        if (!isCurrent()) return;
        this.#options.logger.error("config.apply_failed", {
          revision: frame.to.revision,
          err: error,
        });
        // Whichever step it was in: the machine ignores the word about the other.
        const reason = `the data plane failed on it: ${error instanceof Error ? error.message : String(error)}`;
        this.#dispatch({
          type: "verified",
          seq: frame.seq,
          damage: reason,
        });
        this.#dispatch({
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
    this.#send({
      case: "hello",
      value: {
        node: { ...node },
        workspace,
        features: features.map(({ name, version }) => ({ name, version })),
        refused: [...refused],
        have,
      },
    });
    this.#send({
      case: "snapshotRequest",
      value: {},
    });
  }

  #report(): void {
    const { applier } = this.#options;
    const { progress } = applier;
    this.#send({
      case: "report",
      value: {
        counters: [...this.#options.takeCounters()],
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

  #send(body: RequestInit): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    const type = messageName(body.case);
    const request = create(ConnectRequestSchema, { message: body });
    this.#sending = this.#sending
      .then(async () => {
        await sendMessage(stream.call, request, stream.close.signal);
        this.#messages.inc({ direction: "out", type });
        this.#options.logger.debug("sync.sent", { type });
      })
      // The reading side hears of a broken stream too, and ends it.
      .catch(() => undefined);
  }

  #hangUp(reason: string): void {
    this.#stream?.close.abort(new Error(reason));
  }

  /** Resolves when no apply is going on any more. */
  async #settled(): Promise<void> {
    if (this.#replica.apply === undefined) return;
    await new Promise<void>((resolve) => {
      this.#idle = () => {
        this.#idle = undefined;
        resolve();
      };
    });
  }
}

/** A control plane's wishes, kept within what neither floods it nor leaves a node behind for long. */
function retryOf(policy: RetryPolicy | undefined): BackoffOptions & {
  readonly resetMs: number;
} {
  const initialMs = within(
    policy?.min,
    SYNC_BACKOFF.initialMs,
    50,
    LIMITS.backoffMaxMs,
  );
  return {
    initialMs,
    maxMs: within(policy?.max, SYNC_BACKOFF.maxMs, initialMs, 600_000),
    resetMs: within(
      policy?.resetAfter,
      LIMITS.backoffResetMs,
      1_000,
      LIMITS.retryAfterMs,
    ),
  };
}

function within(
  wish: Duration | undefined,
  fallbackMs: number,
  leastMs: number,
  mostMs: number,
): number {
  const ms = wish === undefined ? fallbackMs : durationMs(wish);
  return Math.min(mostMs, Math.max(leastMs, ms));
}

function goodbyeName(reason: GoodbyeReason): string {
  const names: Readonly<Record<string, number>> = GoodbyeReason;
  return (
    Object.keys(names).find((name) => names[name] === reason) ?? "UNSPECIFIED"
  );
}

/** For the compiler, which takes a signal that was not aborted to stay so. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
