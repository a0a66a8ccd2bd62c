import { toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  BucketChunkSchema,
  Codec,
  ConnectResponseSchema,
  DeltaContentSchema,
  DeltaSchema,
  ManifestSchema,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { create } from "@bufbuild/protobuf";
import {
  diffSlices,
  type Bucket,
  type Changes,
  type Snapshot,
} from "../../model/snapshot.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { LIMITS } from "../../sync/limits.ts";

/** An encoded Manifest, Delta or BucketChunk but for its seq, which is each session's own. Shared by all that need it. */
export interface FrameBody {
  readonly type: "manifest" | "delta" | "bucket_chunk";
  readonly bytes: Uint8Array;
}

const compress = promisify(gzip);
/** Level 1: a frame is compressed once and sent while people wait. */
const GZIP = { level: 1 };
/** Compressed chunks are kept for the next node that asks, up to this. */
const CHUNK_CACHE_BYTES = 64 << 20;
/** `seq` is field 1 of each of the three messages, so it can be put in front of the shared rest. */
const SEQ_FIELD = 1;

/** A whole ConnectResponse: the shared body with this session's seq in front. */
export function frameOf(body: FrameBody, seq: bigint): Uint8Array {
  const prefix = new BinaryWriter()
    .tag(SEQ_FIELD, WireType.Varint)
    .uint64(seq)
    .finish();
  return new BinaryWriter()
    .tag(fieldOf(body.type), WireType.LengthDelimited)
    .uint32(prefix.length + body.bytes.length)
    .raw(prefix)
    .raw(body.bytes)
    .finish();
}

function fieldOf(type: FrameBody["type"]): number {
  const field = ConnectResponseSchema.fields.find((f) => f.name === type);
  if (field === undefined)
    throw new TypeError(`ConnectResponse has no field ${type}`);
  return field.number;
}

/** Encodes what goes to nodes, each thing once, for the newest state. */
export class Frames {
  #to = "";
  readonly #deltas = new Map<string, Promise<FrameBody | undefined>>();
  readonly #manifests = new Map<string, FrameBody>();
  readonly #chunks = new Map<Bucket, readonly FrameBody[]>();
  #chunkBytes = 0;

  /**
   * The Delta between two states; undefined when it is too large for a frame, or so large a part of the snapshot that
   * fetching buckets is cheaper.
   */
  delta(
    from: { readonly cursor: Cursor; readonly snapshot: Snapshot },
    to: { readonly cursor: Cursor; readonly snapshot: Snapshot },
  ): Promise<FrameBody | undefined> {
    this.#aim(to.cursor);
    const source = idOf(from.cursor);
    let body = this.#deltas.get(source);
    if (body === undefined) {
      body = encodeDelta(from, to);
      this.#deltas.set(source, body);
    }
    return body;
  }

  /** The Manifest of a state; without bucket hashes when the node has that root already. */
  manifest(
    state: { readonly cursor: Cursor; readonly snapshot: Snapshot },
    options: ManifestOptions,
  ): FrameBody {
    const { cursor, snapshot } = state;
    this.#aim(cursor);
    const { known, whole, allowed } = options;
    // What the epoch has replaced is the same for all manifests of a state.
    const key = [known, whole, allowed].join(" ");
    let body = this.#manifests.get(key);
    if (body === undefined) {
      body = encodeManifest(cursor, snapshot, options);
      this.#manifests.set(key, body);
    }
    return body;
  }

  /** One target at a time: what leads to an older one is of no use to anybody. */
  #aim(to: Cursor): void {
    const target = idOf(to);
    if (this.#to === target) return;
    this.#to = target;
    this.#deltas.clear();
    this.#manifests.clear();
  }

  /** The chunks of a bucket, in order. */
  async chunks(index: number, bucket: Bucket): Promise<readonly FrameBody[]> {
    const cached = this.#chunks.get(bucket);
    if (cached !== undefined) {
      // Newest last: the oldest goes first when the cache is full.
      this.#chunks.delete(bucket);
      this.#chunks.set(bucket, cached);
      return cached;
    }
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
    if (!this.#chunks.has(bucket)) this.#chunkBytes += sizeOf(chunks);
    this.#chunks.set(bucket, chunks);
    for (const [oldest, old] of this.#chunks) {
      if (this.#chunkBytes <= CHUNK_CACHE_BYTES) break;
      this.#chunks.delete(oldest);
      this.#chunkBytes -= sizeOf(old);
    }
    return chunks;
  }
}

/** What a Manifest says beside its state. */
export interface ManifestOptions {
  /** The node has this root already: no hashes. */
  readonly known: boolean;
  readonly whole: boolean;
  readonly allowed: boolean;
  /** Epochs that the state's has replaced. */
  readonly predecessors: readonly string[];
}

function encodeManifest(
  cursor: Cursor,
  snapshot: Snapshot,
  options: ManifestOptions,
): FrameBody {
  const digests = [...snapshot.buckets()].map(([index, bucket]) => ({
    index,
    hash: bucket.hash,
    size: bucket.bytes.length,
  }));
  const manifest = create(ManifestSchema, {
    cursor,
    buckets: options.known ? [] : digests,
    totals: {
      buckets: digests.length,
      entries: BigInt(snapshot.entryCount),
      bytes: BigInt(snapshot.byteCount),
    },
    whole: options.whole,
    allowed: options.allowed,
    predecessors: [...options.predecessors],
  });
  return { type: "manifest", bytes: toBinary(ManifestSchema, manifest) };
}

async function encodeDelta(
  from: { readonly cursor: Cursor; readonly snapshot: Snapshot },
  to: { readonly cursor: Cursor; readonly snapshot: Snapshot },
): Promise<FrameBody | undefined> {
  const changes = await driveSlices(diffSlices(from.snapshot, to.snapshot));
  const bytes = changeBytes(changes);
  if (
    bytes > LIMITS.deltaBytes ||
    (bytes > LIMITS.smallDeltaBytes &&
      bytes > to.snapshot.byteCount * LIMITS.deltaShare)
  )
    return undefined;
  const plain = toBinary(
    DeltaContentSchema,
    create(DeltaContentSchema, {
      puts: changes.puts.map(({ key, value }) => ({ key, value })),
      deletes: [...changes.deletes],
    }),
  );
  if (plain.length > LIMITS.deltaBytes) return undefined;
  const { codec, data } = await pack(plain);
  const delta = create(DeltaSchema, {
    from: from.cursor,
    to: to.cursor,
    codec,
    data,
    size: plain.length,
  });
  return { type: "delta", bytes: toBinary(DeltaSchema, delta) };
}

async function pack(
  plain: Uint8Array,
): Promise<{ readonly codec: Codec; readonly data: Uint8Array }> {
  if (plain.length > LIMITS.compressBytes) {
    const data = await compress(plain, GZIP);
    if (data.length < plain.length) return { codec: Codec.GZIP, data };
  }
  return { codec: Codec.IDENTITY, data: plain };
}

function changeBytes(changes: Changes): number {
  let bytes = 0;
  for (const { key, value } of changes.puts) bytes += key.length + value.length;
  for (const key of changes.deletes) bytes += key.length;
  return bytes;
}

function sizeOf(chunks: readonly FrameBody[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.bytes.length, 0);
}

function idOf(cursor: Cursor): string {
  return `${cursor.epoch} ${cursor.revision} ${cursor.root}`;
}
