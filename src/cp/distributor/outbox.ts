import type {
  ConnectResponse,
  SyncService,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Clock } from "../../runtime/clock.ts";
import { MessageWriter, type BidiServerCall } from "../../runtime/grpc.ts";
import type { Peer } from "../../runtime/peer.ts";
import type { WriteBudget } from "./write-budget.ts";

/** A node's stream. */
export type SyncCall = BidiServerCall<
  (typeof SyncService)["method"]["connect"]
>;

/** A message, or one that is encoded already. */
export type Message = Uint8Array | ConnectResponse;

/** How long a Goodbye may take to leave. */
const GOODBYE_MS = 1_000;

export interface OutboxOptions {
  /** Aborted when the stream is gone. */
  readonly gone: AbortSignal;
  readonly peer: Peer;
  readonly clock: Clock;
  /** A write has failed although the stream is there. */
  readonly failed: (error: unknown) => void;
}

/**
 * What goes out on one stream: one write after the other, each as soon as there is room for it and no faster than the node
 * reads; and at last the Goodbye, which goes out of turn.
 */
export class Outbox {
  /** The stream is gone, or its end was said. One for all writes: making one for each costs as much as the write. */
  readonly stop: AbortSignal;
  readonly #call: SyncCall;
  readonly #options: OutboxOptions;
  readonly #ending = new AbortController();
  readonly #writer: MessageWriter<Message>;
  /** Since when a message has been waiting for the node to take it; undefined while none is. */
  #writingSinceMs: number | undefined;
  /** Writes, one after the other. */
  #writing: Promise<void> = Promise.resolve();
  #ended: Promise<void> | undefined;

  constructor(call: SyncCall, options: OutboxOptions) {
    this.#call = call;
    this.#options = options;
    this.stop = AbortSignal.any([options.gone, this.#ending.signal]);
    this.#writer = new MessageWriter(call, this.stop);
  }

  /** For how long the node has not taken what was written to it. */
  stuckMs(nowMs: number): number {
    return this.#writingSinceMs === undefined
      ? 0
      : nowMs - this.#writingSinceMs;
  }

  /** Runs a write after those before it. */
  enqueue(write: () => Promise<void>): void {
    this.#writing = this.#writing.then(write).catch((error: unknown) => {
      if (!this.stop.aborted) this.#options.failed(error);
    });
  }

  /** Sends a message once there is room for it, and resolves when the node has taken it. In a write's turn only. */
  async send(
    message: Message,
    budget: WriteBudget,
    priority: boolean,
  ): Promise<void> {
    const bytes = message instanceof Uint8Array ? message.length : 0;
    if (!budget.take(bytes)) await budget.wait(bytes, this.stop, priority);
    try {
      this.#writingSinceMs = this.#options.clock.monotonic();
      await this.#writer.write(message);
    } finally {
      this.#writingSinceMs = undefined;
      budget.giveBack(bytes);
    }
  }

  /** Says Goodbye, unless that was said. Nothing else is written after it. */
  end(goodbye: ConnectResponse, reason: string): void {
    const { clock, gone, peer } = this.#options;
    // Not behind the writes that wait: a node that does not read must not hold the end up either.
    this.#ended ??= Promise.race([
      new MessageWriter(this.#call, gone).write(goodbye).then(() => true),
      clock.sleep(GOODBYE_MS, gone).then(() => false),
    ])
      .catch(() => true)
      .then((taken) => {
        this.#ending.abort(new Error(reason));
        // gRPC waits for ever for a peer that does not read to take the end of a stream.
        if (!taken) peer.destroy();
      });
  }

  /** Resolves when nothing can be written any more: the stream is gone, or the Goodbye has left. */
  stopped(): Promise<void> {
    const { stop } = this;
    return new Promise((resolve) => {
      if (stop.aborted) resolve();
      else
        stop.addEventListener(
          "abort",
          () => {
            resolve();
          },
          { once: true },
        );
    });
  }

  /** Resolves when the Goodbye has left, or cannot; at once when none was said. */
  async ended(): Promise<void> {
    await this.#ended;
  }
}
