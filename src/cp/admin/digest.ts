import { createHash, type Hash } from "node:crypto";
import type { Message } from "@bufbuild/protobuf";
import type { Slices } from "../../model/slices.ts";
import { driveSlices } from "../../runtime/slices.ts";

/** Characters hashed before others get the event loop. */
const PIECE = 64 << 10;

/** Hashing one part of a request costs about as much as handling this many entries. */
const PART_WEIGHT = 16;

/**
 * What a request is told from others by under an idempotency key: the same for equal requests, in whatever order a client
 * encodes the entries of a map.
 */
export function digestOf(
  request: Message,
  signal: AbortSignal,
): Promise<string> {
  return driveSlices(digestSlices(request), { signal });
}

function* digestSlices(request: Message): Slices<string> {
  const hash = createHash("sha256");
  for (const [field, value] of sorted(request)) {
    yield* update(hash, `${JSON.stringify(field)}:`);
    if (Array.isArray(value))
      for (const item of value) yield* update(hash, `${text(item)},`);
    else yield* update(hash, text(value));
  }
  return hash.digest("hex");
}

function* update(hash: Hash, piece: string): Slices<void> {
  for (let at = 0; at < piece.length; at += PIECE) {
    hash.update(piece.slice(at, at + PIECE));
    yield PART_WEIGHT;
  }
}

/** JSON with the keys of objects in order, and something for each value that JSON has not. */
function text(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return `[${value.map(text).join(",")}]`;
  if (typeof value === "object" && value !== null)
    return `{${sorted(value)
      .map(([key, item]) => `${JSON.stringify(key)}:${text(item)}`)
      .join(",")}}`;
  // -0, NaN and infinities are numbers to protobuf, and not to JSON.
  if (typeof value === "number")
    return Object.is(value, -0) ? "-0" : `${value}`;
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function sorted(object: object): [string, unknown][] {
  return Object.entries(object)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
