import { cursorOf } from "../../model/cursor.ts";
import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import type { RevisionRecord, StoredChange } from "./store.ts";

/** The form of records that this build writes, and the newest that it reads. */
const RECORD_FORMAT = 1;

const ROOT_BYTES = 32;
const HAS_BEFORE = 1;
const HAS_AFTER = 2;

/** Bytes of everything but texts, keys and values: format, lengths, revision, root, time, count. */
const FIXED_BYTES = 1 + 4 + 8 + ROOT_BYTES + 8 + 4 + 4 + 4;

/**
 * Encodes a record: u8 format, epoch, u64 revision, root, f64 milliseconds, author, message, u32 count, and for each
 * change key, u8 which values follow, before, after. Big-endian; texts, keys and values after their u32 length.
 */
export function* encodeRecord(record: RevisionRecord): Slices<Buffer> {
  const texts = [record.cursor.epoch, record.author, record.message].map(
    (text) => Buffer.from(text, "utf8"),
  );
  let size = FIXED_BYTES;
  for (const text of texts) size += text.length;
  for (const change of record.changes)
    size +=
      4 + 1 + change.key.length + sizeOf(change.before) + sizeOf(change.after);
  const writer = new Writer(Buffer.allocUnsafeSlow(size));
  const [epoch, author, message] = texts;
  writer.u8(RECORD_FORMAT);
  writer.bytes(epoch);
  writer.u64(record.cursor.revision);
  writer.raw(Buffer.from(record.cursor.root, "hex"));
  writer.f64(record.timeMs);
  writer.bytes(author);
  writer.bytes(message);
  writer.u32(record.changes.length);
  let handled = 0;
  for (const { key, before, after } of record.changes) {
    writer.bytes(Buffer.from(key, "latin1"));
    writer.u8(
      (before === undefined ? 0 : HAS_BEFORE) |
        (after === undefined ? 0 : HAS_AFTER),
    );
    if (before !== undefined) writer.bytes(before);
    if (after !== undefined) writer.bytes(after);
    if (++handled >= SLICE_ENTRIES) {
      yield handled;
      handled = 0;
    }
  }
  return writer.end();
}

/**
 * Decodes a record. The values are views into the bytes.
 *
 * @throws RangeError for bytes that are not a record, with what is wrong.
 */
export function* decodeRecord(bytes: Buffer): Slices<RevisionRecord> {
  const reader = new Reader(bytes);
  const { epoch, revision, root, timeMs } = readHead(reader);
  const author = reader.text();
  const message = reader.text();
  const count = reader.u32();
  const changes: StoredChange[] = [];
  let handled = 0;
  for (let i = 0; i < count; i++) {
    const key = reader.bytes().toString("latin1");
    const flags = reader.u8();
    changes.push({
      key,
      ...((flags & HAS_BEFORE) === 0 ? {} : { before: reader.bytes() }),
      ...((flags & HAS_AFTER) === 0 ? {} : { after: reader.bytes() }),
    });
    if (++handled >= SLICE_ENTRIES) {
      yield handled;
      handled = 0;
    }
  }
  reader.end();
  return {
    cursor: cursorOf(epoch, revision, root),
    timeMs,
    author,
    message,
    changes,
  };
}

/**
 * When a record was made: milliseconds since the Unix epoch. Only its beginning is read.
 *
 * @throws RangeError for bytes that are not a record.
 */
export function recordTime(bytes: Buffer): number {
  return readHead(new Reader(bytes)).timeMs;
}

/** What a record begins with. */
function readHead(
  reader: Reader,
): Pick<RevisionRecord["cursor"], "epoch" | "revision" | "root"> &
  Pick<RevisionRecord, "timeMs"> {
  const format = reader.u8();
  if (format !== RECORD_FORMAT)
    throw new RangeError(
      `it has format ${format}, and this build reads format ${RECORD_FORMAT}`,
    );
  return {
    epoch: reader.text(),
    revision: reader.u64(),
    root: reader.raw(ROOT_BYTES).toString("hex"),
    timeMs: reader.f64(),
  };
}

function sizeOf(value: Uint8Array | undefined): number {
  return value === undefined ? 0 : 4 + value.length;
}

class Writer {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  u8(value: number): void {
    this.#at = this.#buffer.writeUInt8(value, this.#at);
  }

  u32(value: number): void {
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
  }

  u64(value: bigint): void {
    this.#at = this.#buffer.writeBigUInt64BE(value, this.#at);
  }

  f64(value: number): void {
    this.#at = this.#buffer.writeDoubleBE(value, this.#at);
  }

  raw(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  bytes(bytes: Uint8Array = new Uint8Array()): void {
    this.u32(bytes.length);
    this.raw(bytes);
  }

  end(): Buffer {
    if (this.#at !== this.#buffer.length)
      throw new RangeError(
        `a record of ${this.#buffer.length} bytes was filled with ${this.#at}`,
      );
    return this.#buffer;
  }
}

/** Every read checks its bounds: `Buffer`'s own do for numbers, `raw` does for the rest. */
class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  u8(): number {
    return this.raw(1).readUInt8();
  }

  u32(): number {
    return this.raw(4).readUInt32BE();
  }

  u64(): bigint {
    return this.raw(8).readBigUInt64BE();
  }

  f64(): number {
    return this.raw(8).readDoubleBE();
  }

  raw(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#buffer.length)
      throw new RangeError(
        `it ends at byte ${this.#buffer.length}, and byte ${end} should be there`,
      );
    const bytes = this.#buffer.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  bytes(): Buffer {
    return this.raw(this.u32());
  }

  text(): string {
    return this.bytes().toString("utf8");
  }

  end(): void {
    if (this.#at !== this.#buffer.length)
      throw new RangeError(
        `it goes on after its end, from byte ${this.#at} to ${this.#buffer.length}`,
      );
  }
}
