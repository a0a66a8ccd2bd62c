import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import { sortPart } from "./packed-sort.ts";
import {
  EMPTY,
  newChunk,
  RECORD_BYTES,
  writeRecord,
  type Chunk,
} from "./packed-records.ts";

/** Records in a piece when all are loaded: there is room for what comes. */
const LOADED_RECORDS = 448;
/** Loading sorts so many parts, by the first bits. */
const PARTS = 1024;
const PART_SHIFT = 22;
/** Records whose part is looked up between two pauses: it takes a fraction of what handling an entry does. */
const PARTITION_SLICE = 8 * SLICE_ENTRIES;

/** Collects the pairs of an index: to sort them at the end takes a fraction of putting each in its place. */
export class PackedLoader<T> {
  readonly #make: (chunks: readonly Chunk[], size: number) => T;
  /** Records as they came. */
  #bytes: Buffer = Buffer.allocUnsafeSlow(LOADED_RECORDS * RECORD_BYTES);
  #count = 0;
  /** Records by the first bits. */
  readonly #parts = new Uint32Array(PARTS);

  constructor(make: (chunks: readonly Chunk[], size: number) => T) {
    this.#make = make;
  }

  add(text: string, key: string): void {
    const at = this.#count++ * RECORD_BYTES;
    if (at === this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * at);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    writeRecord(this.#bytes, at, text, key);
    const part = this.#partOf(at);
    this.#parts[part] = (this.#parts[part] ?? 0) + 1;
  }

  /** Lets go of what was collected at the end. */
  *finishSlices(): Slices<T> {
    const order = yield* this.#orderByParts();
    const chunks: Chunk[] = [];
    let chunk: Chunk | undefined;
    let from = 0;
    let handled = 0;
    for (const count of this.#parts) {
      const part = order.subarray(from, from + count);
      yield* sortPart(this.#bytes, part);
      for (const record of part) {
        if (chunk === undefined || chunk.count === LOADED_RECORDS)
          chunks.push((chunk = newChunk()));
        const at = record * RECORD_BYTES;
        chunk.bytes.set(
          this.#bytes.subarray(at, at + RECORD_BYTES),
          chunk.count * RECORD_BYTES,
        );
        chunk.count++;
        if (++handled < SLICE_ENTRIES) continue;
        yield handled;
        handled = 0;
      }
      from += count;
    }
    const size = this.#count;
    this.#bytes = EMPTY.bytes;
    return this.#make(chunks, size);
  }

  /** The numbers of the records, those of a part together, the parts in their order. */
  *#orderByParts(): Slices<Uint32Array> {
    const order = new Uint32Array(this.#count);
    const next = new Uint32Array(PARTS);
    let before = 0;
    for (const [part, count] of this.#parts.entries()) {
      next[part] = before;
      before += count;
    }
    for (let record = 0; record < this.#count; record++) {
      const part = this.#partOf(record * RECORD_BYTES);
      const to = next[part] ?? 0;
      next[part] = to + 1;
      order[to] = record;
      if (record % PARTITION_SLICE === PARTITION_SLICE - 1) yield SLICE_ENTRIES;
    }
    return order;
  }

  #partOf(at: number): number {
    return this.#bytes.readUInt32BE(at) >>> PART_SHIFT;
  }
}
