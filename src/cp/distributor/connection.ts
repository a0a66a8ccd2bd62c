import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  ConnectResponseSchema,
  GoodbyeReason,
  ReportSchema,
  type BucketDigest,
  type ConnectRequest,
  type ConnectResponse,
  type Hello,
  type SyncService,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorOf } from "../../model/cursor.ts";
import type { Bucket } from "../../model/bucket.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Clock } from "../../runtime/clock.ts";
import {
  MessageWriter,
  messagesOf,
  type BidiServerCall,
} from "../../runtime/grpc.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Peer } from "../../runtime/peer.ts";
import { spelledOut } from "../../sync/editions.ts";
import { messageName } from "../../sync/names.ts";
import { BUCKET_BATCH, has } from "../../sync/features.ts";
import { LIMITS } from "../../sync/limits.ts";
import { stepSession } from "../../sync/session.ts";
import { toldHead } from "../../sync/session/limit.ts";
import {
  openSession,
  type Session,
  type SessionEffect,
  type SessionEvent,
} from "../../sync/session/state.ts";
import { frameOf, type FrameBody, type Frames } from "./frames.ts";
import { flawOf, isPlain } from "./incoming.ts";
import { Intake } from "./intake.ts";
import type { Pins, Puller } from "./pins.ts";
import type { WriteBudget } from "./write-budget.ts";

type Call = BidiServerCall<(typeof SyncService)["method"]["connect"]>;
type Published = Pick<
  Extract<SessionEvent, { type: "published" }>,
  "head" | "needs"
>;

/** What a connection needs of the process, whatever its node's workspace is. */
export interface ConnectionDesk {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly build: string;
  /** Other control planes that nodes may go to, "host:port". */
  readonly alternatives: readonly string[];
  /** All frames that are written and not drained. */
  readonly budget: WriteBudget;
  /** Those of them that are pieces of snapshots. */
  readonly snapshotBudget: WriteBudget;
  /** Finds the host of a node by its Hello. */
  route(hello: Hello, peer: Peer): Routing;
  /** A message came or went. */
  counted(direction: "in" | "out", type: string, bytes: number): void;
}

/** Who takes care of a node, or why nobody does. */
export type Routing =
  { readonly ok: true; readonly host: ConnectionHost } | Refusal;

/** What a connection needs of its node's workspace. */
export interface ConnectionHost {
  readonly frames: Frames;
  readonly pins: Pins;
  /** The state that nodes should serve. */
  published(): Published & { readonly predecessors: readonly string[] };
  /** A retained state; undefined when it is gone. */
  snapshot(cursor: Cursor): Snapshot | undefined;
  /** Whether a node serves a state of this epoch that this history does not have. */
  isForked(have: Cursor | undefined): boolean | Promise<boolean>;
  /** The connection is this host's from now on, whatever becomes of its node. */
  enter(connection: Connection): void;
  /** Takes a node in by its Hello. Says what to tell it instead when it may not come in. */
  admit(connection: Connection, hello: Hello): Admission;
  /** Somebody should look at the node. */
  alarmed(): void;
  /** The session has moved on. */
  moved(connection: Connection, before: Session, event: SessionEvent): void;
  /** The stream is over. */
  left(connection: Connection): void;
}

/** What a node is told that may not come in. */
export interface Refusal {
  readonly ok: false;
  readonly reason: GoodbyeReason;
  readonly message: string;
  readonly retryAfterMs?: number;
}

/** Whether a node may come in. */
export type Admission =
  | {
      readonly ok: true;
      readonly refusedRoots: readonly string[];
      readonly allowed: boolean;
    }
  | Refusal;

type MessageInit = NonNullable<
  MessageInitShape<typeof ConnectResponseSchema>["message"]
>;

/** One stream of one node: moves messages between the transport and the session's machine, and decides nothing. */
export class Connection implements Puller {
  readonly id: string;
  readonly peer: Peer;
  readonly #call: Call;
  readonly #desk: ConnectionDesk;
  /** Known with the Hello: before it nothing of a workspace is said. */
  #place: ConnectionHost | undefined;
  readonly #gone: AbortSignal;
  readonly #logger: Logger;
  readonly #ending = new AbortController();
  /** The stream is gone, or its end was said. One for all writes: making one for each costs as much as the write. */
  readonly #stop: AbortSignal;
  /** What is sent, and the Goodbye, which goes out of turn. */
  readonly #writer: MessageWriter<Uint8Array | ConnectResponse>;
  #session: Session;
  /** The state of the Manifest in flight, kept for the node to pull from, and whether its turn comes first. */
  #offered:
    | {
        readonly seq: bigint;
        readonly snapshot: Snapshot;
        readonly priority: boolean;
      }
    | undefined;
  readonly #intake: Intake;
  /** Since when a message has been waiting for the node to take it; undefined while none is. */
  #writingSinceMs: number | undefined;
  /** Writes, one after the other. */
  #writing: Promise<void> = Promise.resolve();
  #ended: Promise<void> | undefined;

  constructor(
    id: string,
    call: Call,
    gone: AbortSignal,
    peer: Peer,
    desk: ConnectionDesk,
  ) {
    this.id = id;
    this.peer = peer;
    this.#call = call;
    this.#gone = gone;
    this.#stop = AbortSignal.any([gone, this.#ending.signal]);
    this.#writer = new MessageWriter(call, this.#stop);
    this.#desk = desk;
    this.#logger = desk.logger.child({ session: id, peer: peer.address });
    const nowMs = desk.clock.monotonic();
    this.#intake = new Intake(nowMs);
    this.#session = openSession(NOWHERE, [], nowMs);
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
    this.#place?.pins.release(this);
    this.#place?.left(this);
    this.peer.settled();
  }

  /** For how long the node has not taken what was written to it. */
  stuckMs(nowMs: number): number {
    return this.#writingSinceMs === undefined
      ? 0
      : nowMs - this.#writingSinceMs;
  }

  unpinned(): void {
    const offered = this.#offered;
    this.#offered = undefined;
    if (offered !== undefined)
      this.dispatch({ type: "unpinned", seq: offered.seq });
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
      nowMs: this.#desk.clock.monotonic(),
    } as SessionEvent;
    const before = this.#session;
    const step = stepSession(before, stamped);
    this.#session = step.session;
    if (step.session !== before) this.#place?.moved(this, before, stamped);
    this.#letGo();
    for (const effect of step.effects) this.#perform(effect);
  }

  /** Drops the state that was offered once the node has all of it, or nothing more to do with it. */
  #letGo(): void {
    const { inFlight } = this.#session;
    if (
      this.#offered === undefined ||
      (inFlight?.seq === this.#offered.seq && !inFlight.parked)
    )
      return;
    this.#offered = undefined;
    this.#host.pins.release(this);
  }

  async #read(): Promise<void> {
    for await (const message of messagesOf(this.#call)) {
      if (this.#session.at === "ended") return;
      const receiving = this.#receive(message);
      if (receiving !== undefined) await receiving;
      // Not read from meanwhile: a node that says too much holds up itself.
      const waitMs = this.#intake.take(this.#desk.clock.monotonic());
      if (waitMs > 0) await this.#desk.clock.sleep(waitMs, this.#stop);
    }
  }

  /** Handles a message; with a promise when the next has to wait for it. */
  #receive(request: ConnectRequest): Promise<void> | undefined {
    const { message } = request;
    const type = messageName(message.case);
    this.#desk.counted("in", type, 0);
    this.#logger.debug("sync.received", { type });
    const flaw = flawOf(request);
    if (flaw !== undefined) {
      this.dispatch({
        type: "broke",
        message: `malformed ${message.case ?? "message"}: ${flaw}`,
      });
      return undefined;
    }
    switch (message.case) {
      case "hello":
        return this.#greet({
          ...message.value,
          features: spelledOut(message.value.features),
        });
      case "snapshotRequest":
        this.dispatch({ type: "snapshotRequested" });
        return undefined;
      case "bucketRequest": {
        const { seq, buckets } = message.value;
        this.dispatch({
          type: "bucketsRequested",
          seq,
          buckets,
          ...this.#weigh(seq, buckets),
        });
        return undefined;
      }
      case "ack":
        this.dispatch({ type: "acked", ack: message.value });
        return undefined;
      case "nack":
        this.dispatch({ type: "nacked", nack: message.value });
        return undefined;
      case "report": {
        const { value } = message;
        const size = isPlain(value) ? 0 : toBinary(ReportSchema, value).length;
        this.dispatch(
          size > LIMITS.reportBytes
            ? {
                type: "broke",
                message: `a Report has ${size} bytes, more than ${LIMITS.reportBytes}`,
              }
            : { type: "reported", report: value },
        );
        return undefined;
      }
      case undefined:
        // Of a newer node: no more than a sign of life.
        this.dispatch({ type: "reported", report: create(ReportSchema) });
        return undefined;
    }
  }

  async #greet(hello: Hello): Promise<void> {
    if (this.#session.at !== "opening") {
      this.dispatch({ type: "broke", message: "Hello was sent twice" });
      return;
    }
    const routing = this.#desk.route(hello, this.peer);
    if (!routing.ok) {
      this.#refuse(routing);
      return;
    }
    this.#place = routing.host;
    this.#place.enter(this);
    this.dispatch({ type: "published", ...this.#place.published() });
    let forked: boolean;
    try {
      forked = await this.#place.isForked(hello.have);
    } catch (error) {
      this.#logger.error("session.history_unreadable", { err: error });
      this.dispatch({
        type: "dismissed",
        reason: GoodbyeReason.OVERLOAD,
        message:
          "the control plane cannot read its history, and so not tell whether the node's state is of it",
      });
      return;
    }
    // The stream may have ended meanwhile.
    if (this.#isOver()) return;
    const admission = this.#place.admit(this, hello);
    if (admission.ok) {
      const { refusedRoots, allowed } = admission;
      this.dispatch({ type: "greeted", hello, refusedRoots, forked, allowed });
    } else this.#refuse(admission);
  }

  #refuse({ reason, message, retryAfterMs }: Refusal): void {
    this.dispatch({
      type: "dismissed",
      reason,
      message,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }

  /** What follows a Hello only. */
  get #host(): ConnectionHost {
    if (this.#place === undefined)
      throw new TypeError("a session without a Hello has no workspace");
    return this.#place;
  }

  /** For the compiler, which takes a session that was opening before a wait to be so after it. */
  #isOver(): boolean {
    return this.#session.at === "ended" || this.#stop.aborted;
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
        this.#enqueue(() => {
          this.peer.settled();
          return Promise.resolve();
        });
        return;
      case "offer": {
        // Now, not when its turn comes: writes may wait for long, and a state is not retained for ever.
        const to = this.#host.snapshot(effect.to);
        const from = effect.from && this.#host.snapshot(effect.from);
        this.#write(() => this.#offer(effect, from, to));
        return;
      }
      case "heartbeat":
        this.#write(() =>
          Promise.resolve({
            case: "heartbeat" as const,
            value: { head: toldHead(this.#session) },
          }),
        );
        return;
      case "writeBuckets":
        this.#enqueue(() => this.#writeBuckets(effect.seq, effect.indexes));
        return;
      case "alarm":
        this.#place?.alarmed();
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

  async #send(
    message: Uint8Array | ConnectResponse,
    budget = this.#desk.budget,
  ): Promise<void> {
    const bytes = message instanceof Uint8Array ? message.length : 0;
    if (!budget.take(bytes))
      await budget.wait(bytes, this.#stop, this.#offered?.priority ?? false);
    try {
      this.#writingSinceMs = this.#desk.clock.monotonic();
      await this.#writer.write(message);
    } finally {
      this.#writingSinceMs = undefined;
      budget.giveBack(bytes);
    }
  }

  async #offer(
    effect: Extract<SessionEffect, { type: "offer" }>,
    from: Snapshot | undefined,
    snapshot: Snapshot | undefined,
  ): Promise<Uint8Array> {
    const { frames, pins } = this.#host;
    if (snapshot === undefined)
      throw new Error(`revision ${effect.to.revision} is not retained`);
    const to = { cursor: effect.to, snapshot };
    let body: FrameBody | undefined;
    if (effect.from !== undefined && from !== undefined)
      body = await frames.delta({ cursor: effect.from, snapshot: from }, to);
    if (body === undefined) {
      const { predecessors } = this.#host.published();
      body = frames.manifest(to, { ...effect, predecessors });
      // Before the node can ask for anything of it.
      if (!effect.known && this.#session.inFlight?.seq === effect.seq) {
        const { seq, priority } = effect;
        this.#offered = { seq, snapshot, priority };
        pins.pin(this, snapshot, priority);
      }
    }
    const frame = frameOf(body, effect.seq);
    this.#desk.counted("out", body.type, frame.length);
    this.#logger.debug("sync.sent", {
      type: body.type,
      seq: effect.seq,
      revision: effect.to.revision,
    });
    return frame;
  }

  async #writeBuckets(seq: bigint, indexes: readonly number[]): Promise<void> {
    // Replaced by a newer state meanwhile: nobody waits for these.
    const buckets = indexes.flatMap((index) => {
      const bucket = this.#bucket(seq, index);
      return bucket === undefined ? [] : [{ index, bucket }];
    });
    const { snapshotBudget } = this.#desk;
    const { frames } = this.#host;
    for await (const piece of frames.pieces(buckets, this.#takesBatches())) {
      for (const body of piece.bodies) {
        if (this.#offered?.seq !== seq) return;
        const frame = frameOf(body, seq);
        await this.#send(frame, snapshotBudget);
        this.#desk.counted("out", body.type, frame.length);
      }
      this.dispatch({ type: "bucketsWritten", bytes: piece.bytes });
    }
  }

  #takesBatches(): boolean {
    const features = this.#session.hello?.features ?? [];
    return has(features, { name: BUCKET_BATCH, version: 1 });
  }

  #welcome(
    missing: Extract<SessionEffect, { type: "welcome" }>["missing"],
  ): MessageInit {
    this.#desk.counted("out", "welcome", 0);
    return {
      case: "welcome",
      value: {
        session: this.id,
        cp: this.#desk.build,
        head: toldHead(this.#session),
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
    this.#desk.counted("out", "goodbye", 0);
    const goodbye = create(ConnectResponseSchema, {
      message: {
        case: "goodbye",
        value: {
          reason: effect.reason,
          message: effect.message,
          // Whoever is at fault itself would be that elsewhere too.
          alternatives: isOurs(effect.reason)
            ? [...this.#desk.alternatives]
            : [],
          ...(effect.retryAfterMs === undefined
            ? {}
            : { retryAfter: durationFromMs(effect.retryAfterMs) }),
        },
      },
    });
    // Not behind the writes that wait: a node that does not read must not hold the end up either.
    this.#ended = Promise.race([
      new MessageWriter(this.#call, this.#gone).write(goodbye).then(() => true),
      this.#desk.clock.sleep(GOODBYE_MS, this.#gone).then(() => false),
    ])
      .catch(() => true)
      .then((taken) => {
        this.#ending.abort(new Error(effect.message));
        // gRPC waits for ever for a peer that does not read to take the end of a stream.
        if (!taken) this.peer.destroy();
      });
  }
}

/** What a session is opened with, until the node has said which workspace it is of. */
const NOWHERE = cursorOf("", 0n, "");

/** Whether it is because of this control plane, and not of the node, that it has to go. */
function isOurs(reason: GoodbyeReason): boolean {
  return reason === GoodbyeReason.DRAIN || reason === GoodbyeReason.OVERLOAD;
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
