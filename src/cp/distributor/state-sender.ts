import type { BucketDigest } from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Logger } from "../../runtime/logger.ts";
import { BUCKET_BATCH, has } from "../../sync/features.ts";
import type { Session, SessionEffect } from "../../sync/session/state.ts";
import type {
  ConnectionDesk,
  ConnectionHost,
  NodeStream,
} from "./connection-host.ts";
import type { FrameBody } from "./frame-body.ts";
import { frameOf } from "./frames.ts";
import type { Outbox } from "./outbox.ts";
import type { Puller } from "./pins.ts";

type Offer = Extract<SessionEffect, { type: "offer" }>;

export interface StateSenderOptions {
  readonly stream: NodeStream;
  readonly host: ConnectionHost;
  readonly desk: Pick<ConnectionDesk, "counted" | "snapshotBudget">;
  readonly outbox: Outbox;
  readonly logger: Logger;
}

/** Makes the Manifests and Deltas of one node, and keeps the state of the Manifest in flight for it to pull from. */
export class StateSender implements Puller {
  readonly #options: StateSenderOptions;
  /** The state of the Manifest in flight, kept for the node to pull from, and whether its turn comes first. */
  #offered:
    | {
        readonly seq: bigint;
        readonly snapshot: Snapshot;
        readonly priority: boolean;
      }
    | undefined;

  constructor(options: StateSenderOptions) {
    this.#options = options;
  }

  /** Whether what goes to the node comes before what goes to others. */
  get priority(): boolean {
    return this.#offered?.priority ?? false;
  }

  /** The state that the node pulls from; undefined when that is another one, or kept no longer. */
  offered(seq: bigint): Snapshot | undefined {
    return this.#offered?.seq === seq ? this.#offered.snapshot : undefined;
  }

  unpinned(): void {
    const offered = this.#offered;
    this.#offered = undefined;
    if (offered !== undefined)
      this.#options.stream.dispatch({ type: "unpinned", seq: offered.seq });
  }

  /** Drops the state that was offered once the node has all of it, or nothing more to do with it. */
  letGo({ inFlight }: Session): void {
    if (
      this.#offered === undefined ||
      (inFlight?.seq === this.#offered.seq && !inFlight.parked)
    )
      return;
    this.#offered = undefined;
    this.#options.host.pins.release(this);
  }

  /** Says how to make the frame of an offer when its turn has come. */
  offer(effect: Offer): () => Promise<Uint8Array> {
    const { host } = this.#options;
    // Now, not when its turn comes: writes may wait for long, and a state is not retained for ever.
    const to = host.snapshot(effect.to);
    const from = effect.from && host.snapshot(effect.from);
    return () => this.#frame(effect, from, to);
  }

  async #frame(
    effect: Offer,
    from: Snapshot | undefined,
    snapshot: Snapshot | undefined,
  ): Promise<Uint8Array> {
    const { stream, host, desk, logger } = this.#options;
    if (snapshot === undefined)
      throw new Error(`revision ${effect.to.revision} is not retained`);
    const { frames, pins } = host;
    const to = { cursor: effect.to, snapshot };
    let body: FrameBody | undefined;
    if (effect.from !== undefined && from !== undefined)
      body = await frames.delta({ cursor: effect.from, snapshot: from }, to);
    if (body === undefined) {
      const { predecessors } = host.published();
      body = frames.manifest(to, { ...effect, predecessors });
      // Before the node can ask for anything of it.
      if (!effect.known && stream.session.inFlight?.seq === effect.seq) {
        const { seq, priority } = effect;
        this.#offered = { seq, snapshot, priority };
        pins.pin(this, snapshot, priority);
      }
    }
    const frame = frameOf(body, effect.seq);
    desk.counted("out", body.type, frame.length);
    logger.debug("sync.sent", {
      type: body.type,
      seq: effect.seq,
      revision: effect.to.revision,
    });
    return frame;
  }

  /** Writes buckets of the state that is offered, in a write's turn. */
  async writeBuckets(seq: bigint, indexes: readonly number[]): Promise<void> {
    const { stream, host, desk, outbox } = this.#options;
    const snapshot = this.offered(seq);
    // Replaced by a newer state meanwhile: nobody waits for these.
    const buckets = indexes.flatMap((index) => {
      const bucket = snapshot?.bucket(index);
      return bucket === undefined ? [] : [{ index, bucket }];
    });
    const pieces = host.frames.pieces(buckets, takesBatches(stream.session));
    for await (const piece of pieces) {
      for (const body of piece.bodies) {
        if (this.offered(seq) === undefined) return;
        const frame = frameOf(body, seq);
        await outbox.send(frame, desk.snapshotBudget, this.priority);
        desk.counted("out", body.type, frame.length);
      }
      stream.dispatch({ type: "bucketsWritten", bytes: piece.bytes });
    }
  }

  /** The node pulls nothing any more. */
  close(): void {
    this.#options.host.pins.release(this);
  }
}

/** The plain size of buckets of a state, and how many are not of it. */
export function weigh(
  snapshot: Snapshot | undefined,
  buckets: readonly BucketDigest[],
): { readonly bytes: number; readonly unknown: number } {
  let bytes = 0;
  let unknown = 0;
  for (const { index, hash } of buckets) {
    const bucket = snapshot?.bucket(index);
    if (bucket?.hash.equals(hash) === true) bytes += bucket.bytes.length;
    else unknown++;
  }
  return { bytes, unknown };
}

function takesBatches({ hello }: Session): boolean {
  return has(hello?.features ?? [], { name: BUCKET_BATCH, version: 1 });
}
