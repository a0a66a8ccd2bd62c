import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ConnectRequestSchema,
  SyncService,
  type ConnectResponse,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { sendMessage, type BidiClientCall } from "../../runtime/grpc.ts";
import type { GrpcClient } from "../../runtime/grpc-client.ts";
import { messageOf } from "./message-of.ts";

type Call = BidiClientCall<(typeof SyncService)["method"]["connect"]>;

/** A message to the control plane. */
export type Outgoing = NonNullable<
  MessageInitShape<typeof ConnectRequestSchema>["message"]
>;

export interface SyncStreamOptions {
  /** Hears each message that came, one after the other. */
  readonly onMessage: (message: ConnectResponse) => void;
  /** Hears of each message that went. */
  readonly onSent: (name: string | undefined) => void;
}

/** Messages that take a millisecond or more to take in. */
const BULKY: ReadonlySet<string | undefined> = new Set([
  "bucketBatch",
  "bucketChunk",
  "delta",
  "manifest",
]);

/** Messages that may wait for a control plane to read. A node says little: one that has so much to say is not heard. */
const MAX_BACKLOG = 256;

/** One stream to a control plane: takes messages out of it and puts messages in, in order, none before the last has left. */
export class SyncStream {
  readonly #call: Call;
  readonly #close = new AbortController();
  readonly #onSent: SyncStreamOptions["onSent"];
  #sending: Promise<void> = Promise.resolve();
  #backlog = 0;
  /** Resolves when nothing comes any more, with why. Whatever it is: the stream is over and its peer is told so. */
  readonly ended: Promise<string>;

  /** Opens it. Aborting the signal ends it. */
  constructor(
    client: GrpcClient,
    signal: AbortSignal,
    { onMessage, onSent }: SyncStreamOptions,
  ) {
    const over = AbortSignal.any([signal, this.#close.signal]);
    this.#onSent = onSent;
    this.#call = client.bidi(SyncService.method.connect, over);
    this.ended = new Promise((resolve) => {
      const end = (why: string): void => {
        this.hangUp(why);
        resolve(messageOf(this.#close.signal.reason));
      };
      this.#call.on("data", (message: ConnectResponse) => {
        // What comes after the last word is nobody's.
        if (over.aborted) return;
        onMessage(message);
        if (BULKY.has(message.message.case)) this.#breathe();
      });
      this.#call.on("error", (error) => {
        end(error.message);
      });
      this.#call.on("end", () => {
        end("the stream ended");
      });
    });
  }

  /** Lets the event loop turn before the next message: several may have come in one read, and this process proxies. */
  #breathe(): void {
    this.#call.pause();
    setImmediate(() => {
      this.#call.resume();
    });
  }

  /** Messages that have not left. */
  get backlog(): number {
    return this.#backlog;
  }

  /** Sends a message when those before it have left. */
  send(message: Outgoing): void {
    if (this.#backlog >= MAX_BACKLOG) {
      this.hangUp(
        `the control plane has left ${this.#backlog} messages unread`,
      );
      return;
    }
    const request = create(ConnectRequestSchema, { message });
    this.#backlog++;
    this.#sending = this.#sending
      .then(() => sendMessage(this.#call, request, this.#close.signal))
      .then(
        () => {
          this.#backlog--;
          this.#onSent(message.case);
        },
        // The reading side hears of a broken stream too, and ends it.
        () => {
          this.#backlog--;
        },
      );
  }

  /** Ends it. The first reason counts. */
  hangUp(reason: string): void {
    this.#close.abort(new Hangup(reason));
  }
}

/** Why this side ended the stream. */
class Hangup extends Error {
  override readonly name = "Hangup";
}
