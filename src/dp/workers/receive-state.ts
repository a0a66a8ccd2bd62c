import { cursorOf } from "../../model/cursor.ts";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import { Bucket } from "../../model/bucket.ts";
import { Snapshot } from "../../model/snapshot.ts";
import type { ToWorker } from "./messages.ts";

type Announcement = Extract<ToWorker, { readonly type: "state" }>;

const LENGTH_BYTES = 4;

/** A state on its way to a worker: the buckets that it has, and the bytes of those that it lacks. */
export class IncomingState {
  readonly cursor: Cursor;
  readonly #announced: Announcement;
  readonly #base: Snapshot | undefined;
  readonly #buffers: Buffer[] = [];
  #filled = 0;

  constructor(announced: Announcement, base: Snapshot | undefined) {
    const { epoch, revision, root } = announced.cursor;
    this.cursor = cursorOf(epoch, BigInt(revision), root);
    this.#announced = announced;
    this.#base = base;
  }

  /** Whether all has come. */
  get isWhole(): boolean {
    const { changed } = this.#announced;
    return (
      this.#buffers.length === changed.length &&
      this.#filled === (this.#buffers.at(-1)?.length ?? 0)
    );
  }

  /** Takes in what comes next. */
  receive(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      let buffer = this.#buffers.at(-1);
      if (buffer === undefined || this.#filled === buffer.length) {
        const next = this.#announced.changed[this.#buffers.length];
        if (next === undefined)
          throw new RangeError("more bytes came than were announced");
        // One at a time, as they come: nothing is allocated for what may be dropped.
        buffer = Buffer.allocUnsafeSlow(next[1]);
        this.#buffers.push(buffer);
        this.#filled = 0;
      }
      const part = bytes.subarray(at, at + buffer.length - this.#filled);
      part.copy(buffer, this.#filled);
      this.#filled += part.length;
      at += part.length;
    }
  }

  /**
   * The snapshot, proved by its root.
   *
   * @throws Error when it is not the one that was announced.
   */
  *snapshotSlices(): Slices<Snapshot> {
    const { changed, removed, workspace } = this.#announced;
    const buckets = new Map<number, Bucket>(this.#base?.buckets() ?? []);
    for (const index of removed) buckets.delete(index);
    let handled = 0;
    for (const [i, [index]] of changed.entries()) {
      const bytes = this.#buffers[i];
      if (bytes === undefined)
        throw new RangeError(`bucket ${index} did not come`);
      const bucket = unpack(index, bytes);
      buckets.set(index, bucket);
      handled += bucket.count;
      if (handled < SLICE_ENTRIES) continue;
      yield handled;
      handled = 0;
    }
    const snapshot = Snapshot.ofBuckets(workspace, buckets);
    const root = yield* snapshot.hashSlices();
    if (root !== this.cursor.root)
      throw new Error(
        `what came has root ${root}, announced was ${this.cursor.root}`,
      );
    return snapshot;
  }
}

/** A bucket from its bytes. Its entries are the data plane's own: that they are the right ones is proved by the root. */
function unpack(index: number, bytes: Buffer): Bucket {
  const offsets: number[] = [];
  for (let at = 0; at < bytes.length;) {
    offsets.push(at);
    const lengthAt = at + LENGTH_BYTES + bytes.readUInt32BE(at);
    at = lengthAt + LENGTH_BYTES + bytes.readUInt32BE(lengthAt);
    if (at > bytes.length)
      throw new RangeError(`bucket ${index} ends within an entry`);
  }
  return Bucket.ofPacked(bytes, Uint32Array.from(offsets));
}
