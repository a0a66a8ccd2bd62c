import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createHash, type KeyObject } from "node:crypto";
import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import {
  SnapshotFileHeaderSchema,
  type SnapshotFileHeader,
} from "../gen/holdfast/sync/v1/snapshot_file_pb.js";
import { signSnapshot } from "./snapshot-signature.ts";
import type { Snapshot } from "./snapshot.ts";

/** The first bytes of a snapshot file. */
const MAGIC = Buffer.from("holdfast", "ascii");
/** The format this code writes, and the newest that it reads. */
const SNAPSHOT_FILE_FORMAT = 1;
const OLDEST_FORMAT = 1;
/** Magic, format number, length of the header. */
export const SNAPSHOT_FILE_PREFIX_BYTES = MAGIC.length + 8;
const HASH_BYTES = 32;
/** 1024 buckets and a cursor need far less. */
const MAX_HEADER_BYTES = 1 << 20;

export interface WriteSnapshotFileOptions {
  /** Ed25519: who vouches for the file. Default: nobody. */
  readonly signingKey?: KeyObject | undefined;
}

/** A snapshot file, piece by piece. The format is described at SnapshotFileHeader. */
export function* writeSnapshotFile(
  cursor: Cursor,
  snapshot: Snapshot,
  timeMs: number,
  { signingKey }: WriteSnapshotFileOptions = {},
): Generator<Uint8Array, void, undefined> {
  const buckets = [...snapshot.buckets()];
  const said = create(SnapshotFileHeaderSchema, {
    workspace: snapshot.workspace,
    cursor,
    buckets: buckets.map(([index, bucket]) => ({
      index,
      hash: bucket.hash,
      size: bucket.bytes.length,
    })),
    totals: {
      buckets: buckets.length,
      entries: BigInt(snapshot.entryCount),
      bytes: BigInt(snapshot.byteCount),
    },
    time: timestampFromMs(timeMs),
  });
  if (signingKey !== undefined) said.signature = signSnapshot(said, signingKey);
  const header = toBinary(SnapshotFileHeaderSchema, said);
  const prefix = Buffer.alloc(SNAPSHOT_FILE_PREFIX_BYTES);
  MAGIC.copy(prefix);
  prefix.writeUInt32BE(SNAPSHOT_FILE_FORMAT, MAGIC.length);
  prefix.writeUInt32BE(header.length, MAGIC.length + 4);
  yield prefix;
  yield header;
  yield hashOf(header);
  for (const [, bucket] of buckets) yield bucket.bytes;
}

/** Reads the first bytes: how long the header and its hash are, or what is wrong with the file. */
export function readSnapshotFilePrefix(prefix: Buffer): number | string {
  if (
    prefix.length < SNAPSHOT_FILE_PREFIX_BYTES ||
    !prefix.subarray(0, MAGIC.length).equals(MAGIC)
  )
    return "is not a snapshot file";
  const format = prefix.readUInt32BE(MAGIC.length);
  if (format > SNAPSHOT_FILE_FORMAT)
    return `has format ${format}, this build reads up to ${SNAPSHOT_FILE_FORMAT}`;
  if (format < OLDEST_FORMAT)
    return `has format ${format}, this build reads from ${OLDEST_FORMAT} on`;
  const length = prefix.readUInt32BE(MAGIC.length + 4);
  if (length > MAX_HEADER_BYTES)
    return `has a header of ${length} bytes, more than ${MAX_HEADER_BYTES}`;
  return length + HASH_BYTES;
}

/** Reads the header with its hash: itself, or what is wrong with it. */
export function readSnapshotFileHeader(
  bytes: Uint8Array,
): (SnapshotFileHeader & { readonly cursor: Cursor }) | string {
  let header: SnapshotFileHeader;
  const encoded = bytes.subarray(0, -HASH_BYTES);
  // No root covers the epoch, the revision and the workspace.
  if (!hashOf(encoded).equals(bytes.subarray(-HASH_BYTES)))
    return "has a damaged header: its hash is another";
  try {
    header = fromBinary(SnapshotFileHeaderSchema, encoded);
  } catch (error) {
    return `has a damaged header: ${error instanceof Error ? error.message : String(error)}`;
  }
  const { cursor } = header;
  if (cursor === undefined) return "has no cursor in its header";
  let previous = -1;
  for (const { index, hash } of header.buckets) {
    if (hash.length !== HASH_BYTES)
      return `lists bucket ${index} with a hash of ${hash.length} bytes, not ${HASH_BYTES}`;
    if (index <= previous || index > 1023)
      return `lists bucket ${index} after ${previous}`;
    previous = index;
  }
  return { ...header, cursor };
}

function hashOf(header: Uint8Array): Buffer {
  return createHash("sha256").update(header).digest();
}
