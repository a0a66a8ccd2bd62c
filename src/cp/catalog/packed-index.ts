import { PackedLoader } from "./packed-loader.ts";
import {
  CHUNK_RECORDS,
  compareAt,
  EMPTY,
  FINGERPRINT_BYTES,
  newChunk,
  readKey,
  RECORD_BYTES,
  recordOf,
  writeFingerprint,
  type Chunk,
} from "./packed-records.ts";

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
  static loader(): PackedLoader<PackedIndex> {
    return new PackedLoader((chunks, size) => {
      const index = new PackedIndex();
      index.#chunks.push(...chunks);
      index.#size = size;
      return index;
    });
  }
}
