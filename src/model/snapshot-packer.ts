import type { Slices } from "./slices.ts";
import { SLICE_ENTRIES } from "./slices.ts";
import { Bucket, BUCKET_COUNT, bucketIndex } from "./bucket.ts";
import { Snapshot } from "./snapshot.ts";

const LENGTH_BYTES = 4;
const FIRST_STAGE_BYTES = 64 << 10;
/** Larger than what glibc's malloc ever keeps for itself once it is freed (32 MiB): what was staged goes back to the system. */
const STAGE_BYTES = 34 << 20;

/** Entries as they came, in the form of a bucket. */
interface Stage {
  readonly bytes: Buffer;
  length: number;
}

/** A snapshot, and in which order its entries came. */
export interface Packed {
  readonly snapshot: Snapshot;
  /** The keys in ascending order, which is that of adding them. */
  keys(): Generator<string, void, undefined>;
}

/**
 * Packs entries that come in ascending order of their keys into a snapshot, without an object for each: at a million
 * entries those would weigh three times what they hold. They are staged as they come and then put into buckets that
 * are just large enough, so that nothing grows in many small steps.
 */
export class SnapshotPacker {
  readonly #stages: Stage[] = [];
  #stage: Stage | undefined;
  /** The bucket of each entry. */
  #order = new Uint16Array(SLICE_ENTRIES);
  #entries = 0;
  readonly #counts = new Uint32Array(BUCKET_COUNT);
  readonly #sizes = new Float64Array(BUCKET_COUNT);

  /** Adds an entry. Its key must come after those before; what is wrong otherwise is not noticed, but the root is another one. */
  add(key: string, value: Uint8Array): void {
    const size = 2 * LENGTH_BYTES + key.length + value.length;
    const { bytes, length } = this.#room(size);
    let at = bytes.writeUInt32BE(key.length, length);
    at += bytes.write(key, at, "latin1");
    at = bytes.writeUInt32BE(value.length, at);
    bytes.set(value, at);
    const index = bucketIndex(key);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sizes[index] = (this.#sizes[index] ?? 0) + size;
    if (this.#entries === this.#order.length) {
      const larger = new Uint16Array(2 * this.#entries);
      larger.set(this.#order);
      this.#order = larger;
    }
    this.#order[this.#entries++] = index;
  }

  /** Puts what was added into buckets, and lets go of it on the way. */
  *finishSlices(workspace: string): Slices<Packed> {
    const buckets = this.#allocate();
    let entry = 0;
    let pending = 0;
    for (let stage = this.#stages.shift(); stage; stage = this.#stages.shift())
      for (let at = 0; at < stage.length; entry++) {
        const bucket = buckets[this.#order[entry] ?? 0];
        if (bucket === undefined) throw new RangeError("there is no bucket");
        const lengthAt = at + LENGTH_BYTES + stage.bytes.readUInt32BE(at);
        const end =
          lengthAt + LENGTH_BYTES + stage.bytes.readUInt32BE(lengthAt);
        bucket.bytes.set(stage.bytes.subarray(at, end), bucket.length);
        bucket.offsets[bucket.count++] = bucket.length;
        bucket.length += end - at;
        at = end;
        if (++pending < SLICE_ENTRIES) continue;
        yield pending;
        pending = 0;
      }
    const snapshot = Snapshot.ofBuckets(
      workspace,
      buckets.flatMap((bucket, index) =>
        bucket === undefined
          ? []
          : [[index, Bucket.ofPacked(bucket.bytes, bucket.offsets)] as const],
      ),
    );
    const order = this.#order.subarray(0, this.#entries);
    return { snapshot, keys: () => keysInOrder(snapshot, order) };
  }

  #room(size: number): Stage {
    const stage = this.#stage;
    if (stage !== undefined && stage.length + size <= stage.bytes.length) {
      const place = { bytes: stage.bytes, length: stage.length };
      stage.length += size;
      return place;
    }
    const next = Math.min(
      STAGE_BYTES,
      2 * (stage?.bytes.length ?? FIRST_STAGE_BYTES / 2),
    );
    const bytes = Buffer.allocUnsafeSlow(Math.max(next, size));
    this.#stages.push((this.#stage = { bytes, length: size }));
    return { bytes, length: 0 };
  }

  #allocate(): (
    | { bytes: Buffer; offsets: Uint32Array; length: number; count: number }
    | undefined
  )[] {
    return Array.from(this.#counts, (count, index) =>
      count === 0
        ? undefined
        : {
            bytes: Buffer.allocUnsafeSlow(this.#sizes[index] ?? 0),
            offsets: new Uint32Array(count),
            length: 0,
            count: 0,
          },
    );
  }
}

function* keysInOrder(
  snapshot: Snapshot,
  order: Uint16Array,
): Generator<string, void, undefined> {
  const next = new Uint32Array(BUCKET_COUNT);
  for (const index of order) {
    const i = next[index] ?? 0;
    next[index] = i + 1;
    const key = snapshot.bucket(index)?.keyAt(i);
    if (key !== undefined) yield key;
  }
}
