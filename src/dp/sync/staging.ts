import { gunzipSync } from "node:zlib";
import {
  Codec,
  type BucketBatch,
  type BucketChunk,
  type BucketDigest,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { Bucket } from "../../model/bucket.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import { LIMITS } from "../../sync/limits.ts";

/** What a chunk made of its bucket. */
export type ChunkResult =
  | { readonly type: "more" }
  | { readonly type: "whole" }
  /** The bucket came whole and is not what was announced. */
  | { readonly type: "damaged"; readonly reason: string }
  /** The chunk itself breaks the protocol. */
  | { readonly type: "breach"; readonly reason: string };

/** The control plane sent something that cannot be read. */
export class WireError extends Error {
  override readonly name = "WireError";
}

interface Partial {
  /** Grows with what comes: an announcement alone costs nothing. */
  bytes: Buffer;
  filled: number;
}

/** Buckets on their way in. Those that came whole are kept until a state is applied: a later manifest may need them. */
export class Staging {
  readonly #whole = new Map<string, Bucket>();
  readonly #partial = new Map<number, Partial>();
  #wanted = new Map<number, BucketDigest>();

  /** Takes up a manifest: which of its buckets are held neither in `served` nor here. */
  begin(
    buckets: readonly BucketDigest[],
    served: Snapshot | undefined,
    whole: boolean,
  ): readonly BucketDigest[] {
    this.#partial.clear();
    if (whole) this.#whole.clear();
    const named = new Set(buckets.map(({ hash }) => idOf(hash)));
    for (const id of this.#whole.keys())
      if (!named.has(id)) this.#whole.delete(id);
    const lacking = buckets.filter(
      ({ index, hash }) =>
        whole ||
        (!this.#whole.has(idOf(hash)) &&
          served?.bucket(index)?.hash.equals(hash) !== true),
    );
    this.#wanted = new Map(lacking.map((digest) => [digest.index, digest]));
    return lacking;
  }

  /** Takes in a chunk. Its bucket's buffer grows to what the manifest announced, and no further. */
  receive(chunk: BucketChunk): ChunkResult {
    const digest = this.#wanted.get(chunk.index);
    if (digest === undefined)
      return breach(`bucket ${chunk.index} came, which is not awaited`);
    const partial = this.#partial.get(chunk.index) ?? {
      bytes: Buffer.allocUnsafeSlow(
        Math.min(digest.size, LIMITS.bucketWindowBytes),
      ),
      filled: 0,
    };
    this.#partial.set(chunk.index, partial);
    if (
      chunk.offset !== partial.filled ||
      chunk.size > LIMITS.chunkBytes ||
      // Else a bucket could come for ever.
      (chunk.size === 0 && !chunk.last) ||
      chunk.offset + chunk.size > digest.size
    )
      return breach(
        `a chunk of bucket ${chunk.index} has ${chunk.size} bytes at ${chunk.offset}, there are ${partial.filled} of ${digest.size}`,
      );
    const plain = unpack(chunk.codec, chunk.data, chunk.size);
    if (partial.filled + plain.length > partial.bytes.length)
      partial.bytes = grown(partial, digest.size);
    partial.bytes.set(plain, partial.filled);
    partial.filled += plain.length;
    if (chunk.last !== (partial.filled === digest.size))
      return breach(
        `a chunk of bucket ${chunk.index} ends at ${partial.filled} of ${digest.size} and ${chunk.last ? "says" : "does not say"} that it is the last`,
      );
    if (!chunk.last) return { type: "more" };
    this.#partial.delete(chunk.index);
    this.#wanted.delete(chunk.index);
    const damage = this.#keep(digest, partial.bytes);
    return damage === undefined
      ? { type: "whole" }
      : { type: "damaged", reason: damage };
  }

  /**
   * Takes in several whole buckets, and says of each whether it is what was announced. Nothing is inflated that is more
   * than was announced of them in all.
   *
   * @throws WireError when the batch itself breaks the protocol.
   */
  receiveAll(
    batch: BucketBatch,
  ): readonly { readonly index: number; readonly damage?: string }[] {
    if (batch.buckets.length === 0)
      throw new WireError("a batch of buckets has none");
    let size = 0;
    const digests = batch.buckets.map((part) => {
      const digest = this.#wanted.get(part.index);
      if (digest === undefined || this.#partial.has(part.index))
        throw new WireError(
          `bucket ${part.index} came whole, which is not awaited`,
        );
      if (part.size !== digest.size)
        throw new WireError(
          `bucket ${part.index} came with ${part.size} bytes, announced were ${digest.size}`,
        );
      // Each once: the sum is then bounded by what was announced.
      this.#wanted.delete(part.index);
      size += part.size;
      return digest;
    });
    if (size !== batch.size || size > LIMITS.chunkBytes)
      throw new WireError(
        `a batch of buckets has ${batch.size} bytes, its buckets have ${size}`,
      );
    const plain = unpack(batch.codec, batch.data, size);
    let at = 0;
    return digests.map((digest) => {
      const { index } = digest;
      // A copy: a bucket that is kept for long must not keep all that came with it.
      const bytes = Buffer.allocUnsafeSlow(digest.size);
      bytes.set(plain.subarray(at, at + digest.size));
      at += digest.size;
      const damage = this.#keep(digest, bytes);
      return damage === undefined ? { index } : { index, damage };
    });
  }

  /** Keeps a bucket if it is the one announced; what is wrong with it if not. */
  #keep(digest: BucketDigest, bytes: Buffer): string | undefined {
    const bucket = Bucket.parse(digest.index, bytes);
    if (typeof bucket === "string") return bucket;
    if (!bucket.hash.equals(digest.hash))
      return "has another hash than announced";
    this.#whole.set(idOf(digest.hash), bucket);
    return undefined;
  }

  /** The bucket of a digest, from here or from `served`; undefined when neither has it. */
  bucket(
    { index, hash }: BucketDigest,
    served: Snapshot | undefined,
  ): Bucket | undefined {
    const staged = this.#whole.get(idOf(hash));
    if (staged !== undefined) return staged;
    const own = served?.bucket(index);
    return own?.hash.equals(hash) === true ? own : undefined;
  }

  /** Lets everything go: it is part of the served state now. */
  clear(): void {
    this.#whole.clear();
    this.#partial.clear();
    this.#wanted.clear();
  }
}

/** Twice the size, with what is there; not more than the bucket has. */
function grown({ bytes, filled }: Partial, size: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.min(size, 2 * bytes.length));
  bytes.copy(larger, 0, 0, filled);
  return larger;
}

/**
 * The plain bytes of data that says to have `size` of them.
 *
 * @throws WireError when it has more or fewer, or cannot be read.
 */
export function unpack(
  codec: Codec,
  data: Uint8Array,
  size: number,
): Uint8Array {
  switch (codec) {
    case Codec.IDENTITY:
      if (data.length !== size)
        throw new WireError(`${data.length} bytes came as ${size}`);
      return data;
    case Codec.GZIP: {
      let plain: Buffer;
      try {
        // Bounded before anything is allocated: a small message may inflate to anything.
        plain = gunzipSync(data, { maxOutputLength: Math.max(1, size) });
      } catch (error) {
        throw new WireError(`${data.length} bytes do not inflate to ${size}`, {
          cause: error,
        });
      }
      if (plain.length !== size)
        throw new WireError(`${plain.length} bytes came as ${size}`);
      return plain;
    }
    default:
      throw new WireError(`unknown codec ${codec}`);
  }
}

function breach(reason: string): ChunkResult {
  return { type: "breach", reason };
}

function idOf(hash: Uint8Array): string {
  return Buffer.from(hash).toString("hex");
}
