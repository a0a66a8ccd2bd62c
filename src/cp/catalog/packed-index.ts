import { hash } from "node:crypto";
import { KINDS, type Kind } from "../../model/kinds.ts";
import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import { partsOf } from "./resource.ts";

/** What a text is found by: the first bytes of its SHA-256. Nobody can make two texts that agree in so many. */
const FINGERPRINT_BYTES = 16;
/** An entry's key: its kind's number and its id. */
const KEY_BYTES = 17;
const RECORD_BYTES = FINGERPRINT_BYTES + KEY_BYTES;
/** Records in one piece, at most: what a change moves. */
const CHUNK_RECORDS = 512;
/** Records in a piece when all are loaded: there is room for what comes. */
const LOADED_RECORDS = 448;
/** Loading sorts so many parts, by the first bits. */
const PARTS = 1024;
const PART_SHIFT = 22;

const numberOfKind = new Map(KINDS.map((kind, i) => [kind, i]));

interface Chunk {
  readonly bytes: Buffer;
  count: number;
}

/**
 * From texts to the keys of entries, several for one text where that is wanted. Packed and sorted: 33 bytes for each
 * pair, where a Map of texts takes 150 and makes garbage collections long at a million. The texts themselves are not kept.
 */
export class PackedIndex {
  readonly #chunks: Chunk[] = [];
  #size = 0;

  /** Pairs in it. */
  get size(): number {
    return this.#size;
  }

  /** The first key of a text. */
  first(text: string): string | undefined {
    for (const key of this.all(text)) return key;
    return undefined;
  }

  /** All keys of a text. */
  *all(text: string): Generator<string, void, undefined> {
    const wanted = Buffer.alloc(RECORD_BYTES);
    writeFingerprint(wanted, 0, text);
    const place = this.#place(wanted);
    let { chunk, record } = place;
    for (; chunk < this.#chunks.length; chunk++, record = 0) {
      const { bytes, count } = this.#chunkAt(chunk);
      for (; record < count; record++) {
        const at = record * RECORD_BYTES;
        if (
          bytes.compare(
            wanted,
            0,
            FINGERPRINT_BYTES,
            at,
            at + FINGERPRINT_BYTES,
          ) !== 0
        )
          return;
        yield readKey(bytes, at + FINGERPRINT_BYTES);
      }
    }
  }

  /** Makes a key the only one of a text. */
  set(text: string, key: string): void {
    const before = this.first(text);
    if (before === key) return;
    if (before !== undefined) this.delete(text, before);
    this.add(text, key);
  }

  /** Adds a key to those of a text, if it is not there. */
  add(text: string, key: string): void {
    const wanted = recordOf(text, key);
    if (this.#chunks.length === 0) this.#chunks.push(newChunk());
    const place = this.#place(wanted);
    if (place.found) return;
    let { record } = place;
    let chunk = this.#chunkAt(place.chunk);
    if (chunk.count === CHUNK_RECORDS) {
      this.#split(place.chunk);
      chunk = this.#chunkAt(place.chunk);
      if (record > chunk.count) {
        record -= chunk.count;
        chunk = this.#chunkAt(place.chunk + 1);
      }
    }
    const at = record * RECORD_BYTES;
    chunk.bytes.copyWithin(at + RECORD_BYTES, at, chunk.count * RECORD_BYTES);
    wanted.copy(chunk.bytes, at);
    chunk.count++;
    this.#size++;
  }

  /** Takes a key from those of a text. */
  delete(text: string, key: string): void {
    const place = this.#place(recordOf(text, key));
    if (!place.found) return;
    const chunk = this.#chunkAt(place.chunk);
    const at = place.record * RECORD_BYTES;
    chunk.bytes.copyWithin(at, at + RECORD_BYTES, chunk.count * RECORD_BYTES);
    chunk.count--;
    this.#size--;
    if (chunk.count === 0) this.#chunks.splice(place.chunk, 1);
  }

  /** The piece that a record is in or belongs to, and where in it. */
  #place(wanted: Buffer): {
    readonly chunk: number;
    readonly record: number;
    readonly found: boolean;
  } {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (compareAt(this.#chunkAt(middle).bytes, 0, wanted) <= 0) low = middle;
      else high = middle - 1;
    }
    const chunk = low;
    const { bytes, count } = this.#chunks[chunk] ?? EMPTY;
    low = 0;
    high = count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareAt(bytes, middle * RECORD_BYTES, wanted) < 0) low = middle + 1;
      else high = middle;
    }
    const found =
      low < count && compareAt(bytes, low * RECORD_BYTES, wanted) === 0;
    return { chunk, record: low, found };
  }

  #split(index: number): void {
    const { bytes, count } = this.#chunkAt(index);
    const half = count >> 1;
    const first = newChunk();
    const second = newChunk();
    bytes.copy(first.bytes, 0, 0, half * RECORD_BYTES);
    bytes.copy(second.bytes, 0, half * RECORD_BYTES, count * RECORD_BYTES);
    first.count = half;
    second.count = count - half;
    this.#chunks.splice(index, 1, first, second);
  }

  #chunkAt(index: number): Chunk {
    const chunk = this.#chunks[index];
    if (chunk === undefined) throw new RangeError(`there is no piece ${index}`);
    return chunk;
  }

  /** Collects pairs in any order, each once, and makes an index of them. */
  static loader(): PackedLoader {
    return new PackedLoader((chunks, size) => {
      const index = new PackedIndex();
      index.#chunks.push(...chunks);
      index.#size = size;
      return index;
    });
  }
}

/** Collects the pairs of an index: to sort them at the end takes a fraction of putting each in its place. */
export class PackedLoader {
  readonly #make: (chunks: readonly Chunk[], size: number) => PackedIndex;
  readonly #parts: { bytes: Buffer; count: number }[] = Array.from(
    { length: PARTS },
    () => ({ bytes: EMPTY.bytes, count: 0 }),
  );

  constructor(make: (chunks: readonly Chunk[], size: number) => PackedIndex) {
    this.#make = make;
  }

  add(text: string, key: string): void {
    const record = recordOf(text, key);
    const part = this.#parts[record.readUInt32BE(0) >>> PART_SHIFT];
    if (part === undefined) throw new RangeError("there is no such part");
    const at = part.count * RECORD_BYTES;
    if (at === part.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.max(4, part.count + (part.count >> 1)) * RECORD_BYTES,
      );
      part.bytes.copy(larger);
      part.bytes = larger;
    }
    record.copy(part.bytes, at);
    part.count++;
  }

  /** Lets go of what was collected on the way. */
  *finishSlices(): Slices<PackedIndex> {
    const chunks: Chunk[] = [];
    let chunk: Chunk | undefined;
    let size = 0;
    let handled = 0;
    for (const part of this.#parts) {
      const { bytes, count } = part;
      for (const i of sortedRecords(bytes, count)) {
        if (chunk === undefined || chunk.count === LOADED_RECORDS)
          chunks.push((chunk = newChunk()));
        bytes.copy(
          chunk.bytes,
          chunk.count * RECORD_BYTES,
          i * RECORD_BYTES,
          (i + 1) * RECORD_BYTES,
        );
        chunk.count++;
      }
      part.bytes = EMPTY.bytes;
      part.count = 0;
      size += count;
      handled += count;
      if (handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    return this.#make(chunks, size);
  }
}

const EMPTY: Chunk = { bytes: Buffer.alloc(0), count: 0 };

function newChunk(): Chunk {
  return {
    bytes: Buffer.allocUnsafeSlow(CHUNK_RECORDS * RECORD_BYTES),
    count: 0,
  };
}

/** The numbers of records in their order. The first bits are enough for almost all. */
function sortedRecords(bytes: Buffer, count: number): number[] {
  const heads = new Float64Array(count);
  const order = new Array<number>(count);
  for (let i = 0; i < count; i++) {
    heads[i] = bytes.readUIntBE(i * RECORD_BYTES, 6);
    order[i] = i;
  }
  return order.sort((a, b) => {
    const difference = (heads[a] ?? 0) - (heads[b] ?? 0);
    if (difference !== 0) return difference;
    const at = b * RECORD_BYTES;
    return compareAt(
      bytes,
      a * RECORD_BYTES,
      bytes.subarray(at, at + RECORD_BYTES),
    );
  });
}

function compareAt(bytes: Buffer, at: number, wanted: Buffer): number {
  // Most records differ in their first bytes, and this is many times faster than comparing all.
  const difference = bytes.readUInt32BE(at) - wanted.readUInt32BE(0);
  return difference !== 0
    ? difference
    : bytes.compare(wanted, 0, RECORD_BYTES, at, at + RECORD_BYTES);
}

function recordOf(text: string, key: string): Buffer {
  const record = Buffer.allocUnsafe(RECORD_BYTES);
  writeFingerprint(record, 0, text);
  const { kind, id } = partsOf(key);
  record[FINGERPRINT_BYTES] = numberOfKind.get(kind) ?? 0;
  record.write(id.replaceAll("-", ""), FINGERPRINT_BYTES + 1, "hex");
  return record;
}

function writeFingerprint(bytes: Buffer, at: number, text: string): void {
  bytes.write(hash("sha256", text, "binary"), at, FINGERPRINT_BYTES, "latin1");
}

function readKey(bytes: Buffer, at: number): string {
  const kind: Kind | undefined = KINDS[bytes[at] ?? -1];
  const hex = bytes.toString("hex", at + 1, at + KEY_BYTES);
  return `${kind ?? ""}/${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
