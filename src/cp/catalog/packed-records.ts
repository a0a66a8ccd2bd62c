import { hash } from "node:crypto";
import { KINDS, type Kind } from "../../model/kinds.ts";

/** What a text is found by: the first bytes of its SHA-256. Nobody can make two texts that agree in so many. */
export const FINGERPRINT_BYTES = 16;
/** An entry's key: its kind's number and its id. */
const KEY_BYTES = 17;
/** Of an id as text. */
const ID_CHARACTERS = 36;
const DASH = 45;
/** A pair of a text and a key. */
export const RECORD_BYTES = FINGERPRINT_BYTES + KEY_BYTES;
/** Records in one piece, at most: what a change moves. */
export const CHUNK_RECORDS = 512;

const numberOfKind = new Map<string, number>(KINDS.map((kind, i) => [kind, i]));

/** Some records in their order. */
export interface Chunk {
  readonly bytes: Buffer;
  count: number;
}

/** No records. */
export const EMPTY: Chunk = { bytes: Buffer.alloc(0), count: 0 };

/** Room for records. */
export function newChunk(): Chunk {
  return {
    bytes: Buffer.allocUnsafeSlow(CHUNK_RECORDS * RECORD_BYTES),
    count: 0,
  };
}

/** The order of two records among others. */
export function compareRecords(bytes: Buffer, a: number, b: number): number {
  const i = a * RECORD_BYTES;
  const j = b * RECORD_BYTES;
  for (let at = 0; at < RECORD_BYTES - 1; at += 4) {
    const difference = bytes.readUInt32BE(i + at) - bytes.readUInt32BE(j + at);
    if (difference !== 0) return difference;
  }
  const last = RECORD_BYTES - 1;
  return (bytes[i + last] ?? 0) - (bytes[j + last] ?? 0);
}

/** The order of a record among others and one that is alone. */
export function compareAt(bytes: Buffer, at: number, wanted: Buffer): number {
  // Most records differ in their first bytes, and this is many times faster than comparing all.
  const difference = bytes.readUInt32BE(at) - wanted.readUInt32BE(0);
  return difference !== 0
    ? difference
    : bytes.compare(wanted, 0, RECORD_BYTES, at, at + RECORD_BYTES);
}

/** A record of its own. */
export function recordOf(text: string, key: string): Buffer {
  const record = Buffer.allocUnsafe(RECORD_BYTES);
  writeRecord(record, 0, text, key);
  return record;
}

/** Writes a record. */
export function writeRecord(
  bytes: Buffer,
  at: number,
  text: string,
  key: string,
): void {
  writeFingerprint(bytes, at, text);
  writeKey(bytes, at + FINGERPRINT_BYTES, key);
}

/** Writes what a text is found by. */
export function writeFingerprint(
  bytes: Buffer,
  at: number,
  text: string,
): void {
  bytes.write(hash("sha256", text, "binary"), at, FINGERPRINT_BYTES, "latin1");
}

function writeKey(bytes: Buffer, at: number, key: string): void {
  const slash = key.length - ID_CHARACTERS - 1;
  const kind = numberOfKind.get(key.slice(0, slash));
  if (kind === undefined) throw new TypeError(`"${key}" is not an entry's key`);
  bytes[at] = kind;
  let high = -1;
  let to = at + 1;
  for (let i = slash + 1; i < key.length; i++) {
    const code = key.charCodeAt(i);
    if (code === DASH) continue;
    // "0" to "9" and "a" to "f".
    const digit = code < 58 ? code - 48 : code - 87;
    if (high < 0) high = digit;
    else {
      bytes[to++] = (high << 4) | digit;
      high = -1;
    }
  }
}

/** Reads an entry's key. */
export function readKey(bytes: Buffer, at: number): string {
  const kind: Kind | undefined = KINDS[bytes[at] ?? -1];
  const hex = bytes.toString("hex", at + 1, at + KEY_BYTES);
  return `${kind ?? ""}/${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
