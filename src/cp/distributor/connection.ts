import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { createValidator, type Validator } from "@bufbuild/protovalidate";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  GoodbyeReason,
  ReportSchema,
  type BucketDigest,
  type ConnectRequest,
  type ConnectResponse,
  type SyncService,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Bucket, Snapshot } from "../../model/snapshot.ts";
import type { Clock } from "../../runtime/clock.ts";
import {
  messagesOf,
  sendMessage,
  type BidiServerCall,
} from "../../runtime/grpc.ts";
import type { Logger } from "../../runtime/logger.ts";
import { messageName } from "../../sync/names.ts";
import { LIMITS } from "../../sync/limits.ts";
import {
  openSession,
  stepSession,
  type Session,
  type SessionEffect,
  type SessionEvent,
} from "../../sync/session.ts";
import { frameOf, type FrameBody, type Frames } from "./frames.ts";
import type { WriteBudget } from "./write-budget.ts";

type Call = BidiServerCall<(typeof SyncService)["method"]["connect"]>;
type Published = Pick<
  Extract<SessionEvent, { type: "published" }>,
  "head" | "needs"
>;

/** What a connection needs of the control plane around it. */
export interface ConnectionHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly build: string;
  readonly frames: Frames;
  readonly budget: WriteBudget;
  /** The state that nodes should serve. */
  published(): Published;
  /** A retained state; undefined when it is gone. */
  snapshot(cursor: Cursor): Snapshot | undefined;
  /** Takes a node in by its Hello. Says what to tell it instead when it may not come in. */
  admit(
    connection: Connection,
    hello: NonNullable<Session["hello"]>,
  ):
    | { readonly ok: true; readonly refusedRoots: readonly string[] }
    | {
        readonly ok: false;
        readonly reason: GoodbyeReason;
        readonly message: string;
        readonly retryAfterMs?: number;
      };
  /** A message came or went. */
  counted(direction: "in" | "out", type: string, bytes: number): void;
  /** The session has moved on. */
  moved(connection: Connection, before: Session, event: SessionEvent): void;
}

type MessageInit = NonNullable<
  MessageInitShape<typeof ConnectResponseSchema>["message"]
>;

let validator: Validator | undefined;

/** One stream of one node: moves messages between the transport and the session's machine, and decides nothing. */
export class Connection {
  readonly id: string;
  readonly peer: string;
  readonly #call: Call;
  readonly #host: ConnectionHost;
  readonly #gone: AbortSignal;
  readonly #logger: Logger;
  readonly #ending = new AbortController();
  /** The stream is gone, or its end was said. One for all writes: making one for each costs as much as the write. */
  readonly #stop: AbortSignal;
  #session: Session;
  /** What the frame in flight offers, kept for the node to pull from however long that takes. */
  #offered: { readonly seq: bigint; readonly snapshot: Snapshot } | undefined;
  /** Writes, one after the other. */
  #writing: Promise<void> = Promise.resolve();
  #ended: Promise<void> | undefined;

  constructor(id: string, call: Call, gone: AbortSignal, host: ConnectionHost) {
    this.id = id;
    this.peer = call.getPeer();
    this.#call = call;
    this.#gone = gone;
    this.#stop = AbortSignal.any([gone, this.#ending.signal]);
    this.#host = host;
    this.#logger = host.logger.child({ session: id, peer: this.peer });
    const { head, needs } = host.published();
    this.#session = openSession(head, needs, host.clock.monotonic());
  }

  get session(): Session {
    return this.#session;
  }

  /** Serves the stream until it ends. */
  async run(): Promise<void> {
    try {
      await Promise.race([this.#read(), aborted(this.#stop)]);
    } catch (error) {
      if (!this.#gone.aborted)
        this.#logger.warn("session.failed", { err: error });
    }
    await this.#ended;
    this.dispatch({ type: "disconnected" });
  }

  /** Hands an event to the machine and does what it says. */
  dispatch(
    event: SessionEvent extends infer E
      ? E extends SessionEvent
        ? Omit<E, "nowMs">
        : never
      : never,
  ): void {
    const stamped = {
      ...event,
      nowMs: this.#host.clock.monotonic(),
    } as SessionEvent;
    const before = this.#session;
    const step = stepSession(before, stamped);
    this.#session = step.session;
    if (step.session !== before) this.#host.moved(this, before, stamped);
    for (const effect of step.effects) this.#perform(effect);
  }

  async #read(): Promise<void> {
    for await (const message of messagesOf(this.#call)) {
      if (this.#session.at === "ended") return;
      this.#receive(message);
    }
  }

  #receive(request: ConnectRequest): void {
    const { message } = request;
    const type = messageName(message.case);
    this.#host.counted("in", type, 0);
    this.#logger.debug("sync.received", { type });
    validator ??= createValidator();
    const result = validator.validate(ConnectRequestSchema, request);
    if (result.kind !== "valid") {
      this.dispatch({
        type: "broke",
        message: `malformed ${message.case ?? "message"}: ${result.error.message}`,
      });
      return;
    }
    switch (message.case) {
      case "hello": {
        const hello = message.value;
        if (this.#session.at !== "opening") {
          this.dispatch({ type: "greeted", hello, refusedRoots: [] });
          return;
        }
        const admission = this.#host.admit(this, hello);
        this.dispatch(
          admission.ok
            ? {
                type: "greeted",
                hello,
                refusedRoots: admission.refusedRoots,
              }
            : {
                type: "dismissed",
                reason: admission.reason,
                message: admission.message,
                ...(admission.retryAfterMs === undefined
                  ? {}
                  : { retryAfterMs: admission.retryAfterMs }),
              },
        );
        return;
      }
      case "snapshotRequest":
        this.dispatch({ type: "snapshotRequested" });
        return;
      case "bucketRequest": {
        const { seq, buckets } = message.value;
        this.dispatch({
          type: "bucketsRequested",
          seq,
          buckets,
          ...this.#weigh(seq, buckets),
        });
        return;
      }
      case "ack":
        this.dispatch({ type: "acked", ack: message.value });
        return;
      case "nack":
        this.dispatch({ type: "nacked", nack: message.value });
        return;
      case "report": {
        const size = toBinary(ReportSchema, message.value).length;
        this.dispatch(
          size > LIMITS.reportBytes
            ? {
                type: "broke",
                message: `a Report has ${size} bytes, more than ${LIMITS.reportBytes}`,
              }
            : { type: "reported", report: message.value },
        );
        return;
      }
      case undefined:
        this.dispatch({ type: "broke", message: "a message without content" });
        return;
    }
  }

  /** The plain size of buckets, and how many of them are not what was offered. */
  #weigh(
    seq: bigint,
    buckets: readonly BucketDigest[],
  ): { readonly bytes: number; readonly unknown: number } {
    let bytes = 0;
    let unknown = 0;
    for (const { index, hash } of buckets) {
      const bucket = this.#bucket(seq, index);
      if (bucket?.hash.equals(hash) === true) bytes += bucket.bytes.length;
      else unknown++;
    }
    return { bytes, unknown };
  }

  #bucket(seq: bigint, index: number): Bucket | undefined {
    return this.#offered?.seq === seq
      ? this.#offered.snapshot.bucket(index)
      : undefined;
  }

  #perform(effect: SessionEffect): void {
    switch (effect.type) {
      case "welcome":
        this.#write(() => Promise.resolve(this.#welcome(effect.missing)));
        return;
      case "offer": {
        // Now, not when its turn comes: writes may wait for long, and a state is not retained for ever. Buckets of an
        // earlier offer that wait to be written are of no use any more.
        const snapshot = this.#host.snapshot(effect.to);
        this.#offered = snapshot && { seq: effect.seq, snapshot };
        this.#write(() => this.#offer(effect));
        return;
      }
      case "heartbeat":
        this.#write(() =>
          Promise.resolve({
            case: "heartbeat" as const,
            value: { head: this.#host.published().head },
          }),
        );
        return;
      case "writeBuckets":
        this.#enqueue(() => this.#writeBuckets(effect.seq, effect.indexes));
        return;
      case "alarm":
        this.#logger.error("node.alarm", {
          node: this.#session.hello?.node?.id,
          reason: effect.message,
        });
        return;
      case "goodbye":
        this.#logger.info("session.goodbye", {
          node: this.#session.hello?.node?.id,
          reason: effect.reason,
          message: effect.message,
        });
        this.#sayGoodbye(effect);
        return;
      default:
        effect satisfies never;
    }
  }

  /** Writes one message, after those before it, and tells the machine when it has drained. */
  #write(build: () => Promise<Uint8Array | MessageInit>): void {
    this.#enqueue(async () => {
      const message = await build();
      await this.#send(
        message instanceof Uint8Array
          ? message
          : create(ConnectResponseSchema, { message }),
      );
      this.dispatch({ type: "drained" });
    });
  }

  #enqueue(write: () => Promise<void>): void {
    this.#writing = this.#writing.then(write).catch((error: unknown) => {
      if (this.#gone.aborted || this.#ending.signal.aborted) return;
      this.#logger.error("session.write_failed", { err: error });
      this.dispatch({
        type: "dismissed",
        reason: GoodbyeReason.OVERLOAD,
        message: "the control plane could not make the next message",
      });
    });
  }

  async #send(message: Uint8Array | ConnectResponse): Promise<void> {
    const bytes = message instanceof Uint8Array ? message.length : 0;
    const release = await this.#host.budget.acquire(bytes, this.#stop);
    try {
      await sendMessage(this.#call, message, this.#stop);
    } finally {
      release();
    }
  }

  async #offer(
    effect: Extract<SessionEffect, { type: "offer" }>,
  ): Promise<Uint8Array> {
    const { frames } = this.#host;
    if (this.#offered?.seq !== effect.seq)
      throw new Error(`revision ${effect.to.revision} is not retained`);
    const { snapshot } = this.#offered;
    const to = { cursor: effect.to, snapshot };
    const fromSnapshot = effect.from && this.#host.snapshot(effect.from);
    let body: FrameBody | undefined;
    if (effect.from !== undefined && fromSnapshot !== undefined)
      body = await frames.delta(
        { cursor: effect.from, snapshot: fromSnapshot },
        to,
      );
    body ??= frames.manifest(to, effect);
    const frame = frameOf(body, effect.seq);
    this.#host.counted("out", body.type, frame.length);
    this.#logger.debug("sync.sent", {
      type: body.type,
      seq: effect.seq,
      revision: effect.to.revision,
    });
    return frame;
  }

  async #writeBuckets(seq: bigint, indexes: readonly number[]): Promise<void> {
    for (const index of indexes) {
      const bucket = this.#bucket(seq, index);
      // Replaced by a newer state meanwhile: nobody waits for these.
      if (bucket === undefined) return;
      for (const chunk of await this.#host.frames.chunks(index, bucket)) {
        if (this.#offered?.seq !== seq) return;
        const frame = frameOf(chunk, seq);
        await this.#send(frame);
        this.#host.counted("out", chunk.type, frame.length);
      }
      this.dispatch({ type: "bucketsWritten", bytes: bucket.bytes.length });
    }
  }

  #welcome(
    missing: Extract<SessionEffect, { type: "welcome" }>["missing"],
  ): MessageInit {
    this.#host.counted("out", "welcome", 0);
    return {
      case: "welcome",
      value: {
        session: this.id,
        cp: this.#host.build,
        head: this.#host.published().head,
        heartbeat: durationFromMs(LIMITS.heartbeatMs),
        retry: {
          min: durationFromMs(LIMITS.backoffMinMs),
          max: durationFromMs(LIMITS.backoffMaxMs),
          resetAfter: durationFromMs(LIMITS.backoffResetMs),
        },
        missing: [...missing],
      },
    };
  }

  #sayGoodbye(effect: Extract<SessionEffect, { type: "goodbye" }>): void {
    if (this.#ended !== undefined) return;
    this.#host.counted("out", "goodbye", 0);
    const goodbye = create(ConnectResponseSchema, {
      message: {
        case: "goodbye",
        value: {
          reason: effect.reason,
          message: effect.message,
          ...(effect.retryAfterMs === undefined
            ? {}
            : { retryAfter: durationFromMs(effect.retryAfterMs) }),
        },
      },
    });
    // Not behind the writes that wait: a node that does not read must not hold the end up either.
    this.#ended = Promise.race([
      sendMessage(this.#call, goodbye, this.#gone),
      this.#host.clock.sleep(GOODBYE_MS, this.#gone),
    ])
      .catch(() => undefined)
      .then(() => {
        this.#ending.abort(new Error(effect.message));
      });
  }
}

/** How long a Goodbye may take to leave. */
const GOODBYE_MS = 1_000;

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener(
        "abort",
        () => {
          resolve();
        },
        { once: true },
      );
  });
}
