import { durationMs, type Duration } from "@bufbuild/protobuf/wkt";
import {
  GoodbyeReason,
  type BucketBatch,
  type BucketChunk,
  type ConnectResponse,
  type Goodbye,
  type RetryPolicy,
  type Welcome,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { GrpcClient } from "../../runtime/grpc-client.ts";
import type { Logger } from "../../runtime/logger.ts";
import { LIMITS } from "../../sync/limits.ts";
import type { Applier } from "./applier.ts";
import { DEFAULT_RETRY, type Leg, type Retry } from "./course.ts";
import { flawOf } from "./incoming.ts";
import { messageOf } from "./message-of.ts";
import type { ReplicaShell } from "./replica-shell.ts";
import type { SyncMetrics } from "./sync-metrics.ts";
import { SyncStream } from "./sync-stream.ts";

export interface ConversationOptions<P> {
  readonly address: string;
  readonly client: GrpcClient;
  readonly shell: ReplicaShell<P>;
  readonly applier: Applier<P>;
  readonly metrics: SyncMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What came of a stream. */
export interface Outcome {
  readonly leg: Leg;
  /** What the control plane wished for. */
  readonly retry: Retry | undefined;
  readonly alternatives: readonly string[] | undefined;
}

const TICK_MS = 1_000;
/** What a control plane says goes into the log, within bounds. */
const MAX_LOGGED = 16;
const MAX_LOGGED_CHARS = 128;

/** Talks with a control plane until the stream ends or the signal is aborted. */
export async function converse<P>(
  options: ConversationOptions<P>,
  signal: AbortSignal,
): Promise<Outcome> {
  const conversation = new Conversation(options, signal);
  return conversation.run();
}

/** One stream from its opening to its end: what comes is checked and told to the machine. */
class Conversation<P> {
  readonly #options: ConversationOptions<P>;
  readonly #stream: SyncStream;
  #welcomedMs: number | undefined;
  #retry: Retry | undefined;
  #goodbye: Goodbye | undefined;

  constructor(options: ConversationOptions<P>, signal: AbortSignal) {
    this.#options = options;
    const { metrics } = options;
    this.#stream = new SyncStream(options.client, signal, {
      onMessage: (response) => {
        this.#receive(response);
      },
      onSent: (name) => {
        metrics.message("out", name);
      },
    });
  }

  async run(): Promise<Outcome> {
    const { shell, clock } = this.#options;
    let ticking: Timer | undefined;
    const tick = (): void => {
      ticking = clock.setTimer(TICK_MS, () => {
        shell.tick();
        tick();
      });
    };
    shell.connect(this.#stream);
    tick();
    const reason = await this.#stream.ended;
    ticking?.cancel();
    shell.disconnect();
    return this.#outcome(reason);
  }

  #outcome(reason: string): Outcome {
    const { clock, logger, address } = this.#options;
    const goodbye = this.#goodbye;
    const isUsual =
      goodbye === undefined ||
      goodbye.reason === GoodbyeReason.DRAIN ||
      goodbye.reason === GoodbyeReason.OVERLOAD ||
      goodbye.reason === GoodbyeReason.PINNED;
    if (!isUsual)
      logger.error("sync.dismissed", { control_plane: address, reason });
    const servedMs =
      this.#welcomedMs === undefined
        ? {}
        : { servedMs: clock.monotonic() - this.#welcomedMs };
    return {
      leg: {
        reason,
        retryAfterMs: msOf(goodbye?.retryAfter) ?? 0,
        ...servedMs,
      },
      retry: this.#retry,
      // Not of one that finds fault with this node: that is no reason to send it elsewhere.
      alternatives: isUsual ? goodbye?.alternatives : undefined,
    };
  }

  #receive(response: ConnectResponse): void {
    const { message } = response;
    const { shell, applier, metrics } = this.#options;
    metrics.message("in", message.case);
    const flaw = flawOf(response);
    if (flaw !== undefined) {
      this.#stream.hangUp(`malformed ${message.case ?? "message"}: ${flaw}`);
      return;
    }
    try {
      switch (message.case) {
        case "welcome":
          this.#welcome(message.value);
          return;
        case "manifest":
        case "delta":
          shell.dispatch({
            type: "arrived",
            frame: applier.arrived(message.value),
          });
          return;
        case "bucketBatch":
          this.#receiveBatch(message.value);
          return;
        case "bucketChunk":
          this.#receiveChunk(message.value);
          return;
        case "heartbeat": {
          const { head } = message.value;
          shell.dispatch({
            type: "heard",
            ...(head === undefined ? {} : { head }),
          });
          return;
        }
        case "goodbye": {
          const { reason, message: text } = message.value;
          this.#goodbye = message.value;
          // Its last word: what else it may send does not matter.
          this.#stream.hangUp(
            `${goodbyeName(reason)}: ${text.slice(0, LIMITS.reasonChars)}`,
          );
          return;
        }
        case undefined:
          // Of a newer control plane: what matters is announced in Hello's features.
          shell.dispatch({ type: "heard" });
          return;
      }
    } catch (error) {
      this.#stream.hangUp(messageOf(error));
    }
  }

  #welcome(welcome: Welcome): void {
    const { shell, clock, logger, address } = this.#options;
    const { head, missing } = welcome;
    logger.info("sync.welcomed", {
      control_plane: address,
      session: welcome.session.slice(0, MAX_LOGGED_CHARS),
      head: head?.revision,
    });
    for (const { feature, keys, consequence } of missing.slice(0, MAX_LOGGED))
      logger.error("sync.feature_missing", {
        feature: feature?.name.slice(0, MAX_LOGGED_CHARS),
        needed_by: keys
          .slice(0, MAX_LOGGED)
          .map((key) => key.slice(0, MAX_LOGGED_CHARS)),
        consequence: consequence.slice(0, LIMITS.reasonChars),
      });
    this.#retry = retryOf(welcome.retry);
    this.#welcomedMs = clock.monotonic();
    shell.dispatch({
      type: "welcomed",
      ...(head === undefined ? {} : { head }),
    });
  }

  #receiveBatch(batch: BucketBatch): void {
    const { shell, applier } = this.#options;
    const { apply } = shell.replica;
    // Of a manifest that was replaced.
    if (apply?.frame.seq !== batch.seq || apply.phase !== "receive") {
      shell.dispatch({ type: "heard" });
      return;
    }
    // Before memory is made for them: what was asked for is bounded.
    const asked = new Set(apply.outstanding.map(({ index }) => index));
    const unasked = batch.buckets.find(({ index }) => !asked.has(index));
    if (unasked !== undefined) {
      this.#stream.hangUp(
        `bucket ${unasked.index} came, which was not asked for`,
      );
      return;
    }
    for (const { index, damage } of applier.receiveAll(batch))
      shell.dispatch({
        type: "bucketArrived",
        seq: batch.seq,
        index,
        ...(damage === undefined ? {} : { damage }),
      });
  }

  #receiveChunk(chunk: BucketChunk): void {
    const { shell, applier } = this.#options;
    const { apply } = shell.replica;
    // Of a manifest that was replaced.
    if (apply?.frame.seq !== chunk.seq || apply.phase !== "receive") {
      shell.dispatch({ type: "heard" });
      return;
    }
    // Before memory is made for it: what was asked for is bounded.
    if (!apply.outstanding.some(({ index }) => index === chunk.index)) {
      this.#stream.hangUp(
        `bucket ${chunk.index} came, which was not asked for`,
      );
      return;
    }
    const result = applier.receive(chunk);
    switch (result.type) {
      case "more":
        shell.dispatch({ type: "heard" });
        return;
      case "breach":
        this.#stream.hangUp(result.reason);
        return;
      case "whole":
      case "damaged":
        shell.dispatch({
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
}

/** A control plane's wishes, kept within what neither floods it nor leaves a node behind for long. */
function retryOf(policy: RetryPolicy | undefined): Retry {
  const { initialMs, maxMs, resetMs } = DEFAULT_RETRY;
  const leastMs = within(policy?.min, initialMs, 50, LIMITS.backoffMaxMs);
  return {
    initialMs: leastMs,
    maxMs: within(policy?.max, maxMs, leastMs, 600_000),
    resetMs: within(policy?.resetAfter, resetMs, 1_000, LIMITS.retryAfterMs),
  };
}

function within(
  wish: Duration | undefined,
  fallbackMs: number,
  leastMs: number,
  mostMs: number,
): number {
  return Math.min(mostMs, Math.max(leastMs, msOf(wish) ?? fallbackMs));
}

function msOf(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : durationMs(duration);
}

function goodbyeName(reason: GoodbyeReason): string {
  const names: Readonly<Record<string, number>> = GoodbyeReason;
  return (
    Object.keys(names).find((name) => names[name] === reason) ?? "UNSPECIFIED"
  );
}
