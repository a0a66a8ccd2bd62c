import { create, toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  ConnectResponseSchema,
  DeltaContentSchema,
  DeltaSchema,
  ManifestSchema,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { diffSlices } from "../../model/diff.ts";
import type { Changes, Snapshot } from "../../model/snapshot.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { LIMITS } from "../../sync/limits.ts";
import {
  BucketFrames,
  type BucketPiece,
  type NumberedBucket,
} from "./bucket-frames.ts";
import { pack, type FrameBody } from "./frame-body.ts";

/** `seq` is field 1 of each of these messages, so it can be put in front of the shared rest. */
const SEQ_FIELD = 1;

/** A whole ConnectResponse: the shared body with this session's seq in front. Written by hand: each node has a copy. */
export function frameOf(body: FrameBody, seq: bigint): Uint8Array {
  const { bytes } = body;
  const content = 1 + varintSize(seq) + bytes.length;
  const frame = Buffer.allocUnsafe(1 + varintSize(BigInt(content)) + content);
  let at = frame.writeUInt8(tagOf(FIELDS[body.type], WireType.LengthDelimited));
  at = writeVarint(frame, BigInt(content), at);
  at = frame.writeUInt8(tagOf(SEQ_FIELD, WireType.Varint), at);
  at = writeVarint(frame, seq, at);
  frame.set(bytes, at);
  return frame;
}

/** The fields of ConnectResponse: all below 16, so that a tag is one byte. */
const FIELDS = {
  manifest: ConnectResponseSchema.field.manifest.number,
  delta: ConnectResponseSchema.field.delta.number,
  bucket_chunk: ConnectResponseSchema.field.bucketChunk.number,
  bucket_batch: ConnectResponseSchema.field.bucketBatch.number,
};

function tagOf(field: number, type: WireType): number {
  return (field << 3) | type;
}

function varintSize(value: bigint): number {
  let size = 1;
  for (let rest = value >> 7n; rest > 0n; rest >>= 7n) size++;
  return size;
}

function writeVarint(into: Buffer, value: bigint, at: number): number {
  let rest = value;
  let next = at;
  for (; rest > 0x7fn; rest >>= 7n)
    next = into.writeUInt8(Number(rest & 0x7fn) | 0x80, next);
  return into.writeUInt8(Number(rest), next);
}

/** Encodes what goes to the nodes of a workspace, each thing once, for the newest state. */
export class Frames {
  readonly #buckets: BucketFrames;
  #to = "";
  readonly #deltas = new Map<string, Promise<FrameBody | undefined>>();
  readonly #manifests = new Map<string, FrameBody>();

  /** @param buckets What all workspaces share, since it takes the most memory. Default: one of its own. */
  constructor(buckets = new BucketFrames()) {
    this.#buckets = buckets;
  }

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
      const made = encodeDelta(from, to);
      this.#deltas.set(source, made);
      // Whoever needs it hears of that; the next tries again, since nodes come back for the same.
      made.catch(() => {
        if (this.#deltas.get(source) === made) this.#deltas.delete(source);
      });
      body = made;
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

  /**
   * Buckets as they are sent, in order: as many of them in one message as fit, when the node can take that. Nodes that ask
   * for the same share what is encoded for the first.
   */
  pieces(
    buckets: readonly NumberedBucket[],
    batched: boolean,
  ): AsyncGenerator<BucketPiece> {
    return this.#buckets.pieces(buckets, batched);
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

function changeBytes(changes: Changes): number {
  let bytes = 0;
  for (const { key, value } of changes.puts) bytes += key.length + value.length;
  for (const key of changes.deletes) bytes += key.length;
  return bytes;
}

function idOf(cursor: Cursor): string {
  return `${cursor.epoch} ${cursor.revision} ${cursor.root}`;
}
