import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { Codec } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../../sync/limits.ts";

/** An encoded Manifest, Delta or BucketChunk but for its seq, which is each session's own. Shared by all that need it. */
export interface FrameBody {
  readonly type: "manifest" | "delta" | "bucket_chunk" | "bucket_batch";
  readonly bytes: Uint8Array;
}

const compress = promisify(gzip);
/** Level 1: a frame is compressed once and sent while people wait. */
const GZIP = { level: 1 };

/** The content of a message, compressed when that makes it smaller. */
export async function pack(
  plain: Uint8Array,
): Promise<{ readonly codec: Codec; readonly data: Uint8Array }> {
  if (plain.length > LIMITS.compressBytes) {
    const data = await compress(plain, GZIP);
    if (data.length < plain.length) return { codec: Codec.GZIP, data };
  }
  return { codec: Codec.IDENTITY, data: plain };
}
