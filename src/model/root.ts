import { createHash } from "node:crypto";
import { BUCKET_COUNT, type Bucket } from "./bucket.ts";

const ROOT_DOMAIN = Buffer.from("holdfast.root.v1\0", "latin1");
/** Of the workspace's name. */
const LENGTH_BYTES = 4;
const INDEX_BYTES = 2;
/** What a bucket adds to what is hashed for the root: its index and its hash. */
const DIGEST_BYTES = INDEX_BYTES + 32;

/** What a root is the hash of, but for its beginning: index and hash of each bucket that is not empty, ascending. */
export interface Digests {
  readonly bytes: Buffer;
  /** Buckets whose hash in `bytes` is that of an earlier snapshot. */
  readonly stale: readonly number[];
}

/** What the root of these buckets is the hash of. */
export function digestsOf(
  buckets: Iterable<
    readonly [index: number, bucket: { readonly hash: Uint8Array }]
  >,
): Buffer {
  const bytes = Buffer.allocUnsafeSlow(BUCKET_COUNT * DIGEST_BYTES);
  let at = 0;
  for (const [index, { hash }] of buckets) {
    at = bytes.writeUInt16BE(index, at);
    bytes.set(hash, at);
    at += hash.length;
  }
  return bytes.subarray(0, at);
}

/** Writes the hashes of stale buckets anew into a copy. */
export function patchDigests(
  { bytes, stale }: Digests,
  buckets: readonly (Bucket | undefined)[],
): Buffer {
  const patched = Buffer.from(bytes);
  for (const index of stale) {
    const hash = buckets[index]?.hash;
    const at = DIGEST_BYTES * placeOf(patched, index);
    if (hash === undefined || patched.readUInt16BE(at) !== index)
      throw new RangeError(`bucket ${index} has no digest`);
    patched.set(hash, at + INDEX_BYTES);
  }
  return patched;
}

/** How many digests stand before that of a bucket. */
function placeOf(digests: Buffer, index: number): number {
  let low = 0;
  let high = digests.length / DIGEST_BYTES - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (digests.readUInt16BE(middle * DIGEST_BYTES) < index) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The root of a snapshot whose buckets are known by their hashes, of 32 bytes each: ascending, without empty ones. */
export function rootOf(
  workspace: string,
  buckets: Iterable<
    readonly [index: number, bucket: { readonly hash: Uint8Array }]
  >,
): string {
  return hashRoot(workspace, digestsOf(buckets));
}

/** The hash of what `digestsOf` makes. */
export function hashRoot(workspace: string, digests: Buffer): string {
  const name = Buffer.from(workspace, "utf8");
  const head = Buffer.allocUnsafe(LENGTH_BYTES);
  head.writeUInt32BE(name.length);
  return createHash("sha256")
    .update(ROOT_DOMAIN)
    .update(head)
    .update(name)
    .update(digests)
    .digest("hex");
}
