import { create, toBinary } from "@bufbuild/protobuf";
import {
  BucketBatchSchema,
  BucketChunkSchema,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Bucket } from "../../model/bucket.ts";
import { LIMITS } from "../../sync/limits.ts";
import { pack, type FrameBody } from "./frame-body.ts";

/** Compressed buckets are kept for the next node that asks, up to this. */
const BUCKET_CACHE_BYTES = 64 << 20;
/** And so many, however small they are. */
const BUCKET_CACHE_ENTRIES = 16_384;
/** Buckets that travel together. */
export interface BucketPiece {
  readonly bodies: readonly FrameBody[];
  /** Plain bytes of the whole buckets. */
  readonly bytes: number;
}

/** Encodes buckets, each once, and keeps what was made for the next node that asks. */
export class BucketFrames {
  /** By the buckets that they are made of. The oldest first. */
  readonly #buckets = new Map<
    string,
    { readonly bodies: Promise<readonly FrameBody[]>; bytes: number }
  >();
  #bucketBytes = 0;
  readonly #ids = new WeakMap<Bucket, number>();
  #lastId = 0;

  /** See `Frames.pieces`. */
  async *pieces(
    buckets: readonly NumberedBucket[],
    batched: boolean,
  ): AsyncGenerator<BucketPiece> {
    for (const group of groupsOf(buckets, batched)) {
      const bytes = bytesOf(group);
      const [first] = group;
      const key = group.map(({ bucket }) => this.#idOf(bucket)).join(" ");
      const bodies =
        group.length === 1 && first !== undefined
          ? await this.#cached(key, () => encodeChunks(first))
          : await this.#cached(key, () => encodeBatch(group, bytes));
      yield { bodies, bytes };
    }
  }

  async #cached(
    key: string,
    encode: () => Promise<readonly FrameBody[]>,
  ): Promise<readonly FrameBody[]> {
    const cached = this.#buckets.get(key);
    if (cached !== undefined) {
      // Newest last: the oldest goes first when the cache is full.
      this.#buckets.delete(key);
      this.#buckets.set(key, cached);
      return cached.bodies;
    }
    // The promise, not its outcome: a herd asks for the same before the first has it.
    const entry = { bodies: encode(), bytes: 0 };
    this.#buckets.set(key, entry);
    try {
      const bodies = await entry.bodies;
      if (this.#buckets.get(key) === entry) {
        entry.bytes = sizeOf(bodies);
        this.#bucketBytes += entry.bytes;
        this.#makeRoom();
      }
      return bodies;
    } catch (error) {
      if (this.#buckets.get(key) === entry) this.#buckets.delete(key);
      throw error;
    }
  }

  #makeRoom(): void {
    for (const [key, { bytes }] of this.#buckets) {
      if (
        this.#bucketBytes <= BUCKET_CACHE_BYTES &&
        this.#buckets.size <= BUCKET_CACHE_ENTRIES
      )
        return;
      this.#buckets.delete(key);
      this.#bucketBytes -= bytes;
    }
  }

  #idOf(bucket: Bucket): number {
    let id = this.#ids.get(bucket);
    if (id === undefined) {
      id = ++this.#lastId;
      this.#ids.set(bucket, id);
    }
    return id;
  }
}

/** A bucket and where it belongs. */
export interface NumberedBucket {
  readonly index: number;
  readonly bucket: Bucket;
}

/** One bucket each, or as many as make no more than a chunk in all. */
function groupsOf(
  buckets: readonly NumberedBucket[],
  batched: boolean,
): readonly (readonly NumberedBucket[])[] {
  if (!batched) return buckets.map((each) => [each]);
  const groups: NumberedBucket[][] = [];
  let bytes = Infinity;
  for (const each of buckets) {
    const size = each.bucket.bytes.length;
    if (bytes + size > LIMITS.chunkBytes) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(each);
    bytes += size;
  }
  return groups;
}

function bytesOf(buckets: readonly NumberedBucket[]): number {
  return buckets.reduce((sum, { bucket }) => sum + bucket.bytes.length, 0);
}

async function encodeChunks({
  index,
  bucket,
}: NumberedBucket): Promise<readonly FrameBody[]> {
  const chunks: FrameBody[] = [];
  for (let at = 0; at < bucket.bytes.length; at += LIMITS.chunkBytes) {
    const plain = bucket.bytes.subarray(at, at + LIMITS.chunkBytes);
    const { codec, data } = await pack(plain);
    const chunk = create(BucketChunkSchema, {
      index,
      offset: at,
      last: at + plain.length === bucket.bytes.length,
      codec,
      data,
      size: plain.length,
    });
    chunks.push({
      type: "bucket_chunk",
      bytes: toBinary(BucketChunkSchema, chunk),
    });
  }
  return chunks;
}

async function encodeBatch(
  buckets: readonly NumberedBucket[],
  size: number,
): Promise<readonly FrameBody[]> {
  const plain = Buffer.concat(
    buckets.map(({ bucket }) => bucket.bytes),
    size,
  );
  const { codec, data } = await pack(plain);
  const batch = create(BucketBatchSchema, {
    buckets: buckets.map(({ index, bucket }) => ({
      index,
      size: bucket.bytes.length,
    })),
    codec,
    data,
    size,
  });
  return [{ type: "bucket_batch", bytes: toBinary(BucketBatchSchema, batch) }];
}

function sizeOf(chunks: readonly FrameBody[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.bytes.length, 0);
}
