import { create, toBinary } from "@bufbuild/protobuf";
import {
  ConnectResponseSchema,
  GoodbyeReason,
  ReportSchema,
  type ConnectRequest,
  type Hello,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorOf } from "../../model/cursor.ts";
import { messagesOf } from "../../runtime/grpc.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Peer } from "../../runtime/peer.ts";
import { spelledOut } from "../../sync/editions.ts";
import { messageName } from "../../sync/names.ts";
import { LIMITS } from "../../sync/limits.ts";
import { stepSession } from "../../sync/session.ts";
import { toldHead } from "../../sync/session/limit.ts";
import {
  openSession,
  type Session,
  type SessionEffect,
  type SessionEvent,
} from "../../sync/session/state.ts";
import type {
  ConnectionDesk,
  ConnectionHost,
  Happening,
  NodeStream,
  Refusal,
} from "./connection-host.ts";
import { goodbyeOf, welcomeOf } from "./greetings.ts";
import { flawOf, isPlain } from "./incoming.ts";
import { Intake } from "./intake.ts";
import { Outbox, type Message, type SyncCall } from "./outbox.ts";
import { StateSender, weigh } from "./state-sender.ts";

/** Who takes care of a node, and what is sent to it of that one's states. */
interface Place {
  readonly host: ConnectionHost;
  readonly states: StateSender;
}

/** One stream of one node: moves messages between the transport and the session's machine, and decides nothing. */
export class Connection implements NodeStream {
  readonly id: string;
  readonly peer: Peer;
  readonly #call: SyncCall;
  readonly #desk: ConnectionDesk;
  /** Known with the Hello: before it nothing of a workspace is said. */
  #place: Place | undefined;
  readonly #gone: AbortSignal;
  readonly #logger: Logger;
  readonly #outbox: Outbox;
  #session: Session;
  readonly #intake: Intake;

  constructor(
    id: string,
    call: SyncCall,
    gone: AbortSignal,
    peer: Peer,
    desk: ConnectionDesk,
  ) {
    this.id = id;
    this.peer = peer;
    this.#call = call;
    this.#gone = gone;
    this.#desk = desk;
    this.#logger = desk.logger.child({ session: id, peer: peer.address });
    this.#outbox = new Outbox(call, {
      gone,
      peer,
      clock: desk.clock,
      failed: (error) => {
        this.#unwritten(error);
      },
    });
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
      await Promise.race([this.#read(), this.#outbox.stopped()]);
    } catch (error) {
      if (!this.#gone.aborted)
        this.#logger.warn("session.failed", { err: error });
    }
    await this.#outbox.ended();
    this.dispatch({ type: "disconnected" });
    this.#place?.states.close();
    this.#place?.host.streams.left(this);
    this.peer.settled();
  }

  /** For how long the node has not taken what was written to it. */
  stuckMs(nowMs: number): number {
    return this.#outbox.stuckMs(nowMs);
  }

  /** Hands an event to the machine and does what it says. */
  dispatch(event: Happening): void {
    const stamped = {
      ...event,
      nowMs: this.#desk.clock.monotonic(),
    } as SessionEvent;
    const before = this.#session;
    const step = stepSession(before, stamped);
    this.#session = step.session;
    if (step.session !== before)
      this.#place?.host.streams.moved(this, before, stamped);
    this.#place?.states.letGo(this.#session);
    for (const effect of step.effects) this.#perform(effect);
  }

  async #read(): Promise<void> {
    for await (const message of messagesOf(this.#call)) {
      if (this.#session.at === "ended") return;
      const receiving = this.#receive(message);
      if (receiving !== undefined) await receiving;
      // Not read from meanwhile: a node that says too much holds up itself.
      const waitMs = this.#intake.take(this.#desk.clock.monotonic());
      if (waitMs > 0) await this.#desk.clock.sleep(waitMs, this.#outbox.stop);
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
          ...weigh(this.#place?.states.offered(seq), buckets),
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
    const { host } = routing;
    this.#place = { host, states: this.#statesOf(host) };
    host.streams.enter(this);
    this.dispatch({ type: "published", ...host.published() });
    let forked: boolean;
    try {
      forked = await host.isForked(hello.have);
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
    const admission = host.streams.admit(this, hello);
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

  #statesOf(host: ConnectionHost): StateSender {
    return new StateSender({
      stream: this,
      host,
      desk: this.#desk,
      outbox: this.#outbox,
      logger: this.#logger,
    });
  }

  /** What follows a Hello only. */
  get #states(): StateSender {
    if (this.#place === undefined)
      throw new TypeError("a session without a Hello has no workspace");
    return this.#place.states;
  }

  /** For the compiler, which takes a session that was opening before a wait to be so after it. */
  #isOver(): boolean {
    return this.#session.at === "ended" || this.#outbox.stop.aborted;
  }

  #perform(effect: SessionEffect): void {
    switch (effect.type) {
      case "welcome":
        this.#write(() => this.#welcome(effect.missing));
        this.#outbox.enqueue(() => {
          this.peer.settled();
          return Promise.resolve();
        });
        return;
      case "offer":
        this.#write(this.#states.offer(effect));
        return;
      case "heartbeat":
        this.#write(() =>
          create(ConnectResponseSchema, {
            message: {
              case: "heartbeat",
              value: { head: toldHead(this.#session) },
            },
          }),
        );
        return;
      case "writeBuckets": {
        const { seq, indexes } = effect;
        this.#outbox.enqueue(() => this.#states.writeBuckets(seq, indexes));
        return;
      }
      case "alarm":
        this.#place?.host.streams.alarmed();
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
        this.#desk.counted("out", "goodbye", 0);
        this.#outbox.end(
          goodbyeOf(effect, this.#desk.alternatives),
          effect.message,
        );
        return;
      default:
        effect satisfies never;
    }
  }

  /** Writes one message, after those before it, and tells the machine when it has drained. */
  #write(build: () => Message | Promise<Message>): void {
    this.#outbox.enqueue(async () => {
      const message = await build();
      const priority = this.#place?.states.priority ?? false;
      await this.#outbox.send(message, this.#desk.budget, priority);
      this.dispatch({ type: "drained" });
    });
  }

  #unwritten(error: unknown): void {
    this.#logger.error("session.write_failed", { err: error });
    this.dispatch({
      type: "dismissed",
      reason: GoodbyeReason.OVERLOAD,
      message: "the control plane could not make the next message",
    });
  }

  #welcome(
    missing: Extract<SessionEffect, { type: "welcome" }>["missing"],
  ): Message {
    this.#desk.counted("out", "welcome", 0);
    return welcomeOf({
      session: this.id,
      build: this.#desk.build,
      head: toldHead(this.#session),
      missing,
    });
  }
}

/** What a session is opened with, until the node has said which workspace it is of. */
const NOWHERE = cursorOf("", 0n, "");
