import { FieldReader, FormError } from "./field-reader.ts";

/** What one byte of compressed content can stand for at the most: 64 bytes are copied by three, 11 by two. */
const LARGEST_RATIO = 64;

/**
 * Decompresses a block of Snappy.
 *
 * @throws FormError when it is none.
 */
export function uncompress(compressed: Uint8Array): Uint8Array {
  const reader = new FieldReader(compressed);
  const length = reader.number();
  if (length > compressed.length * LARGEST_RATIO)
    throw new FormError(
      `announces ${length} bytes, which ${compressed.length} cannot hold`,
    );
  const out = Buffer.alloc(length);
  let at = 0;
  while (!reader.isAtEnd) {
    const tag = reader.byte();
    const piece =
      (tag & 3) === 0
        ? reader.bytes(literalLength(reader, tag >>> 2))
        : undefined;
    const { back, count } =
      piece === undefined
        ? copyOf(reader, tag)
        : { back: 0, count: piece.length };
    if (back > at || at + count > length)
      throw new FormError(`leaves its ${length} bytes at byte ${at}`);
    if (piece !== undefined) out.set(piece, at);
    else if (back === 0) throw new FormError(`copies nothing at byte ${at}`);
    // A copy may reach into what it makes itself: byte by byte, that repeats.
    else for (let i = at; i < at + count; i++) out[i] = out[i - back] ?? 0;
    at += count;
  }
  if (at !== length)
    throw new FormError(`announces ${length} bytes, and has ${at}`);
  return out;
}

function literalLength(reader: FieldReader, short: number): number {
  return (short < 60 ? short : little(reader, short - 59)) + 1;
}

function copyOf(
  reader: FieldReader,
  tag: number,
): { readonly back: number; readonly count: number } {
  if ((tag & 3) === 1)
    return {
      back: ((tag >>> 5) << 8) | reader.byte(),
      count: ((tag >>> 2) & 7) + 4,
    };
  return {
    back: little(reader, (tag & 3) === 2 ? 2 : 4),
    count: (tag >>> 2) + 1,
  };
}

/** A number of so many bytes, the lowest first. */
function little(reader: FieldReader, bytes: number): number {
  return reader
    .bytes(bytes)
    .reduceRight((value, byte) => value * 256 + byte, 0);
}
