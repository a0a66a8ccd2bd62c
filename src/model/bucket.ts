import { createHash, hash } from "node:crypto";

/** One resource as it is stored: see `Resource` and `Entry` in the .proto files. */
export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
}

/** How many buckets a snapshot has, empty ones included. */
export const BUCKET_COUNT = 1024;

const BUCKET_DOMAIN = Buffer.from("holdfast.bucket.v1\0", "latin1");
const LENGTH_BYTES = 4;

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
