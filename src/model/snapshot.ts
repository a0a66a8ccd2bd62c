import { createHash, hash } from "node:crypto";
import { SLICE_ENTRIES, type Slices } from "./slices.ts";

/** One resource as it is stored: see `Resource` and `Entry` in the .proto files. */
export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
}

/** The net difference of two snapshots: no key occurs twice. */
export interface Changes {
  readonly puts: readonly Entry[];
  readonly deletes: readonly string[];
}

/** How many buckets a snapshot has, empty ones included. */
export const BUCKET_COUNT = 1024;

const BUCKET_DOMAIN = Buffer.from("holdfast.bucket.v1\0", "latin1");
const ROOT_DOMAIN = Buffer.from("holdfast.root.v1\0", "latin1");
const LENGTH_BYTES = 4;
const INDEX_BYTES = 2;
/** What a bucket adds to what is hashed for the root: its index and its hash. */
const DIGEST_BYTES = INDEX_BYTES + 32;

/** The bucket of a key: the first 10 bits of its SHA-256. */
export function bucketIndex(key: string): number {
  // In one call: for each of a million entries a hash object costs more than the hash.
  const digest = hash("sha256", Buffer.from(key, "latin1"), "binary");
  return (digest.charCodeAt(0) << 2) | (digest.charCodeAt(1) >> 6);
}

/**
 * The entries of one bucket in one immutable array: what is stored, sent and hashed. One object a bucket instead of one
 * an entry keeps memory near the payload and garbage collections short.
 */
export class Bucket {
  /** For each entry, ascending by key: u32 key length, key, u32 value length, value; big-endian. */
  readonly bytes: Buffer;
  /** Where each entry starts in `bytes`. Derived; never hashed, stored or sent. */
  readonly #offsets: Uint32Array;
  #hash: Buffer | undefined;

  private constructor(bytes: Buffer, offsets: Uint32Array) {
    this.bytes = bytes;
    this.#offsets = offsets;
  }

  /** A bucket of entries that are already in ascending order of their keys. Undefined when there are none. */
  static ofSorted(entries: readonly Entry[]): Bucket | undefined {
    if (entries.length === 0) return undefined;
    let size = 0;
    for (const entry of entries)
      size += 2 * LENGTH_BYTES + entry.key.length + entry.value.length;
    const bytes = Buffer.allocUnsafeSlow(size);
    const offsets = new Uint32Array(entries.length);
    let at = 0;
    for (const [i, entry] of entries.entries()) {
      offsets[i] = at;
      at = writeEntry(bytes, at, entry);
    }
    return new Bucket(bytes, offsets);
  }

  /**
   * A bucket with some entries put and, where there is no value, deleted. What stays is copied in one piece between two
   * edits: of a thousand entries mostly one changes.
   */
  static edited(
    bucket: Bucket | undefined,
    edits: ReadonlyMap<string, Uint8Array | undefined>,
  ): Bucket | undefined {
    const pieces: (Kept | Entry)[] = [];
    let size = 0;
    let count = 0;
    let from = 0;
    const keep = (to: number): void => {
      if (bucket === undefined || to === from) return;
      const start = bucket.#startOf(from);
      const end = bucket.#startOf(to);
      pieces.push({ from, to, start, end });
      size += end - start;
      count += to - from;
    };
    for (const key of [...edits.keys()].sort()) {
      const value = edits.get(key);
      const place = bucket === undefined ? 0 : bucket.#placeOf(key);
      keep(place);
      const replaced = bucket !== undefined && bucket.#has(place, key);
      from = replaced ? place + 1 : place;
      if (value === undefined) continue;
      pieces.push({ key, value });
      size += 2 * LENGTH_BYTES + key.length + value.length;
      count++;
    }
    keep(bucket?.count ?? 0);
    if (count === 0) return undefined;
    const bytes = Buffer.allocUnsafeSlow(size);
    const offsets = new Uint32Array(count);
    let at = 0;
    let i = 0;
    for (const piece of pieces)
      if ("key" in piece) {
        offsets[i++] = at;
        at = writeEntry(bytes, at, piece);
      } else if (bucket !== undefined) {
        for (let kept = piece.from; kept < piece.to; kept++)
          offsets[i++] = bucket.#offset(kept) - piece.start + at;
        bytes.set(bucket.bytes.subarray(piece.start, piece.end), at);
        at += piece.end - piece.start;
      }
    return new Bucket(bytes, offsets);
  }

  /**
   * A bucket whose bytes were written by this process, and where each entry starts in them. For what comes from a disk
   * and is proved by a root: nothing is checked here.
   */
  static ofPacked(bytes: Buffer, offsets: Uint32Array): Bucket {
    return new Bucket(bytes, offsets);
  }

  /**
   * Reads bytes from outside. Returns what is wrong with them when they are not a well-formed, ascending, non-empty
   * bucket with this index.
   */
  static parse(index: number, bytes: Buffer): Bucket | string {
    const offsets: number[] = [];
    let previous = "";
    for (let at = 0; at < bytes.length;) {
      offsets.push(at);
      if (at + LENGTH_BYTES > bytes.length) return "ends within a key's length";
      const keyEnd = at + LENGTH_BYTES + bytes.readUInt32BE(at);
      if (keyEnd + LENGTH_BYTES > bytes.length) return "ends within a key";
      const key = bytes.toString("latin1", at + LENGTH_BYTES, keyEnd);
      if (key <= previous)
        return `has key "${key}" after "${previous}", not in ascending order`;
      if (bucketIndex(key) !== index)
        return `has key "${key}", which belongs to bucket ${bucketIndex(key)}`;
      previous = key;
      at = keyEnd + LENGTH_BYTES + bytes.readUInt32BE(keyEnd);
      if (at > bytes.length) return `ends within the value of "${key}"`;
    }
    if (offsets.length === 0) return "is empty";
    return new Bucket(bytes, Uint32Array.from(offsets));
  }

  /** Number of entries; at least one. */
  get count(): number {
    return this.#offsets.length;
  }

  /** SHA-256 over the domain and the bytes. Computed once. */
  get hash(): Buffer {
    this.#hash ??= createHash("sha256")
      .update(BUCKET_DOMAIN)
      .update(this.bytes)
      .digest();
    return this.#hash;
  }

  /** Whether `hash` was computed already, so that asking for it costs nothing. */
  get hashed(): boolean {
    return this.#hash !== undefined;
  }

  /** The key of the i-th entry. */
  keyAt(i: number): string {
    const at = this.#offset(i);
    const start = at + LENGTH_BYTES;
    return this.bytes.toString(
      "latin1",
      start,
      start + this.bytes.readUInt32BE(at),
    );
  }

  /** The value of the i-th entry: a view, not a copy. */
  valueAt(i: number): Uint8Array {
    const at = this.#offset(i);
    const lengthAt = at + LENGTH_BYTES + this.bytes.readUInt32BE(at);
    const start = lengthAt + LENGTH_BYTES;
    return this.bytes.subarray(
      start,
      start + this.bytes.readUInt32BE(lengthAt),
    );
  }

  /** The value of a key. */
  get(key: string): Uint8Array | undefined {
    const place = this.#placeOf(key);
    return this.#has(place, key) ? this.valueAt(place) : undefined;
  }

  *entries(): Generator<Entry, void, undefined> {
    for (let i = 0; i < this.count; i++)
      yield { key: this.keyAt(i), value: this.valueAt(i) };
  }

  /** Whether both hold the same bytes. */
  equals(other: Bucket): boolean {
    return this === other || this.bytes.equals(other.bytes);
  }

  /** The first entry whose key does not come before this one. */
  #placeOf(key: string): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.keyAt(middle) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #has(place: number, key: string): boolean {
    return place < this.count && this.keyAt(place) === key;
  }

  /** Where an entry starts, or after the last one where it would. */
  #startOf(i: number): number {
    return i === this.count ? this.bytes.length : this.#offset(i);
  }

  #offset(i: number): number {
    const offset = this.#offsets[i];
    if (offset === undefined)
      throw new RangeError(`bucket has no entry ${i} of ${this.count}`);
    return offset;
  }
}

/** Entries of a bucket that stay, and where they are in its bytes. */
interface Kept {
  readonly from: number;
  readonly to: number;
  readonly start: number;
  readonly end: number;
}

function writeEntry(bytes: Buffer, at: number, { key, value }: Entry): number {
  let to = bytes.writeUInt32BE(key.length, at);
  to += bytes.write(key, to, "latin1");
  to = bytes.writeUInt32BE(value.length, to);
  bytes.set(value, to);
  return to + value.length;
}

type Buckets = readonly (Bucket | undefined)[];

/**
 * The whole content of a workspace at one moment. Immutable; snapshots made from one another share the buckets that did
 * not change.
 */
export class Snapshot {
  readonly workspace: string;
  /** Number of entries. */
  readonly entryCount: number;
  /** Plain bytes of all buckets. */
  readonly byteCount: number;
  readonly #buckets: Buckets;
  #digests: Digests | undefined;
  #root: string | undefined;

  private constructor(
    workspace: string,
    buckets: Buckets,
    counts: { readonly entries: number; readonly bytes: number },
    digests?: Digests,
  ) {
    this.workspace = workspace;
    this.#buckets = buckets;
    this.entryCount = counts.entries;
    this.byteCount = counts.bytes;
    this.#digests = digests;
  }

  /** The state at revision 0. */
  static empty(workspace: string): Snapshot {
    return new Snapshot(workspace, emptyBuckets(), { entries: 0, bytes: 0 });
  }

  /** A snapshot of these buckets, by index. */
  static ofBuckets(
    workspace: string,
    buckets: Iterable<readonly [index: number, bucket: Bucket]>,
  ): Snapshot {
    const all: (Bucket | undefined)[] = emptyBuckets();
    for (const [index, bucket] of buckets) {
      if (!(index in all)) throw new RangeError(`there is no bucket ${index}`);
      all[index] = bucket;
    }
    const counts = { entries: 0, bytes: 0 };
    for (const bucket of all) {
      counts.entries += bucket?.count ?? 0;
      counts.bytes += bucket?.bytes.length ?? 0;
    }
    return new Snapshot(workspace, all, counts);
  }

  /** The bucket with this index; undefined when it is empty. */
  bucket(index: number): Bucket | undefined {
    return this.#buckets[index];
  }

  /** The value of a key. */
  get(key: string): Uint8Array | undefined {
    return this.#buckets[bucketIndex(key)]?.get(key);
  }

  /** The buckets that are not empty, ascending. */
  *buckets(): Generator<readonly [index: number, bucket: Bucket]> {
    for (const [index, bucket] of this.#buckets.entries())
      if (bucket !== undefined) yield [index, bucket];
  }

  /** All entries, in no order that means anything. */
  *entries(): Generator<Entry, void, undefined> {
    for (const bucket of this.#buckets)
      if (bucket !== undefined) yield* bucket.entries();
  }

  /** The root in 64 hexadecimal digits. Computed once; `hashSlices` spreads the work. */
  get root(): string {
    if (this.#root === undefined) {
      const bytes =
        this.#digests === undefined
          ? digestsOf(this.buckets())
          : patchDigests(this.#digests, this.#buckets);
      this.#digests = { bytes, stale: [] };
      this.#root = hashRoot(this.workspace, bytes);
    }
    return this.#root;
  }

  /** Computes the root, pausing between buckets. */
  *hashSlices(): Slices<string> {
    let handled = 0;
    // Of a snapshot whose root was known only what changed since is to be looked at.
    const buckets =
      this.#digests === undefined
        ? this.#buckets
        : this.#digests.stale.map((index) => this.#buckets[index]);
    for (const bucket of buckets) {
      if (bucket === undefined || bucket.hashed) continue;
      if (bucket.hash.length > 0) handled += bucket.count;
      if (handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    return this.root;
  }

  /** This snapshot with changes made to it. Deleting a key that is not there changes nothing. */
  *applySlices(changes: Changes): Slices<Snapshot> {
    const edits = new Map<number, Map<string, Uint8Array | undefined>>();
    const edit = (key: string, value: Uint8Array | undefined): void => {
      const index = bucketIndex(key);
      let bucket = edits.get(index);
      if (bucket === undefined)
        edits.set(index, (bucket = new Map<string, Uint8Array | undefined>()));
      bucket.set(key, value);
    };
    let handled = 0;
    for (const key of changes.deletes) {
      edit(key, undefined);
      if (++handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    for (const { key, value } of changes.puts) {
      edit(key, value);
      if (++handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    const buckets = this.#buckets.slice();
    const counts = { entries: this.entryCount, bytes: this.byteCount };
    let sameBuckets = true;
    for (const [index, bucketEdits] of edits) {
      const before = this.#buckets[index];
      const after = Bucket.edited(before, bucketEdits);
      buckets[index] = after;
      counts.entries += (after?.count ?? 0) - (before?.count ?? 0);
      counts.bytes += (after?.bytes.length ?? 0) - (before?.bytes.length ?? 0);
      sameBuckets &&= (before === undefined) === (after === undefined);
      handled += bucketEdits.size + (before?.count ?? 0);
      if (handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    // What is hashed for the root has a place for each bucket that is not empty: while those are the same, what is known
    // of this snapshot's goes for the next one but for the buckets that changed.
    const known = sameBuckets ? this.#digests : undefined;
    const stale = [...(known?.stale ?? []), ...edits.keys()].filter(
      (index) => buckets[index] !== undefined,
    );
    const digests =
      known === undefined || stale.length > BUCKET_COUNT
        ? undefined
        : { bytes: known.bytes, stale };
    return new Snapshot(this.workspace, buckets, counts, digests);
  }
}

/** What a root is the hash of, but for its beginning: index and hash of each bucket that is not empty, ascending. */
interface Digests {
  readonly bytes: Buffer;
  /** Buckets whose hash in `bytes` is that of an earlier snapshot. */
  readonly stale: readonly number[];
}

/** What must be done to `from` to get `to`: the puts and deletes in no particular order. */
export function* diffSlices(from: Snapshot, to: Snapshot): Slices<Changes> {
  const puts: Entry[] = [];
  const deletes: string[] = [];
  let handled = 0;
  for (let index = 0; index < BUCKET_COUNT; index++) {
    const a = from.bucket(index);
    const b = to.bucket(index);
    if (a === b) continue;
    diffBucket(a, b, puts, deletes);
    handled += (a?.count ?? 0) + (b?.count ?? 0);
    if (handled >= SLICE_ENTRIES) {
      yield handled;
      handled = 0;
    }
  }
  return { puts, deletes };
}

function emptyBuckets(): (Bucket | undefined)[] {
  return new Array<Bucket | undefined>(BUCKET_COUNT).fill(undefined);
}

function digestsOf(
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
function patchDigests({ bytes, stale }: Digests, buckets: Buckets): Buffer {
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

function hashRoot(workspace: string, digests: Buffer): string {
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

/** Adds what must be done to one bucket to get the other. */
export function diffBucket(
  a: Bucket | undefined,
  b: Bucket | undefined,
  puts: Entry[],
  deletes: string[],
): void {
  const aCount = a?.count ?? 0;
  const bCount = b?.count ?? 0;
  let i = 0;
  let j = 0;
  while (i < aCount || j < bCount) {
    const before = i < aCount ? a?.keyAt(i) : undefined;
    const after = j < bCount ? b?.keyAt(j) : undefined;
    if (after === undefined || (before !== undefined && before < after)) {
      if (before !== undefined) deletes.push(before);
      i++;
      continue;
    }
    const value = b?.valueAt(j) ?? new Uint8Array();
    if (before !== after) {
      puts.push({ key: after, value });
      j++;
      continue;
    }
    if (Buffer.compare(a?.valueAt(i) ?? new Uint8Array(), value) !== 0)
      puts.push({ key: after, value });
    i++;
    j++;
  }
}
