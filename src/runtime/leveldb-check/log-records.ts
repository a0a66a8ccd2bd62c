import { crc32c, unmask } from "./crc32c.ts";
import { fixed32, FormError } from "./field-reader.ts";

/** A log is read in blocks of this length; only its last one may be shorter. */
export const LOG_BLOCK_BYTES = 32 << 10;

/** The checksum, the length and the type of what follows. */
const HEADER_BYTES = 4 + 2 + 1;

const FULL = 1;
const FIRST = 2;
const LAST = 4;

/**
 * The records of a log of LevelDB, as LevelDB itself reads them: half a record at the end is what a crash leaves, and
 * is not there.
 *
 * @throws FormError when it is damaged.
 */
export async function* logRecords(
  blocks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let begun: Uint8Array[] | undefined;
  for await (const block of blocks)
    for (const { type, content } of fragments(block)) {
      if (type === FULL || type === FIRST) {
        // A beginning of nothing, at the end of a block, is how an old LevelDB filled that.
        if (begun?.some(({ length }) => length > 0) === true)
          throw new FormError("has a record without an end");
        begun = [content];
      } else if (begun === undefined)
        throw new FormError("has a record without a beginning");
      else begun.push(content);
      if (type !== FULL && type !== LAST) continue;
      yield Buffer.concat(begun);
      begun = undefined;
    }
}

interface Fragment {
  readonly type: number;
  readonly content: Uint8Array;
}

function* fragments(block: Uint8Array): Generator<Fragment, void, undefined> {
  const isLast = block.length < LOG_BLOCK_BYTES;
  let at = 0;
  while (block.length - at >= HEADER_BYTES) {
    const length = (block[at + 4] ?? 0) | ((block[at + 5] ?? 0) << 8);
    const type = block[at + 6] ?? 0;
    const end = at + HEADER_BYTES + length;
    if (end > block.length) {
      if (isLast) return;
      throw new FormError("has a record that leaves its block");
    }
    if (type === 0 && length === 0) {
      // LevelDB takes the rest of the block for space that was never used. Anything in it was used.
      if (block.subarray(at).every((byte) => byte === 0)) return;
      throw new FormError("has a hole in the middle");
    }
    const checked = block.subarray(at + HEADER_BYTES - 1, end);
    if (crc32c(checked) !== unmask(fixed32(block, at)))
      throw new FormError("has a record with another checksum");
    if (type < FULL || type > LAST)
      throw new FormError(`has a record of type ${type}`);
    yield { type, content: block.subarray(at + HEADER_BYTES, end) };
    at = end;
  }
}
