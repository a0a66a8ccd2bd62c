import type { FileHandle } from "node:fs/promises";
import { crc32c, unmask } from "./crc32c.ts";
import { FieldReader, fixed32, FormError } from "./field-reader.ts";
import { FileWindow } from "./file-window.ts";
import { uncompress } from "./snappy.ts";

/** Where the last two blocks lie, filled up, and the number that every table ends with. */
const FOOTER_BYTES = 48;
const MAGIC = Buffer.from("57fb808b247547db", "hex");

/** After each block: its type, and its checksum. */
const TYPE_BYTES = 1;
const TRAILER_BYTES = TYPE_BYTES + 4;

const PLAIN = 0;
const SNAPPY = 1;

/** Where a block lies, without what comes after it. */
interface Place {
  readonly what: string;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Compares every block of a table with the checksum that was written with it.
 *
 * @param bytes how long the table is: LevelDB reads nothing after that.
 * @throws FormError when one differs, or the table is not of that length. It says where.
 */
export async function proveTable(
  file: FileHandle,
  bytes: number,
): Promise<void> {
  const { size } = await file.stat();
  if (size < bytes || bytes < FOOTER_BYTES)
    throw new FormError(`has ${size} bytes, and ${bytes} were written`);
  const window = new FileWindow(file, bytes);
  const end = bytes - FOOTER_BYTES;
  const { filters, index } = readFooter(
    await window.all(end, FOOTER_BYTES),
    end,
  );
  await prove(window, filters);
  await prove(window, index);
  const places = [
    ...placesIn(await read(window, index), "data"),
    ...placesIn(await read(window, filters), "filter"),
  ];
  for (const place of places) {
    if (endOf(place) > filters.offset)
      throw new FormError(`${describe(place)} is not where one can be`);
    await prove(window, place);
  }
}

/** The two blocks that a table ends with, one after the other. */
function readFooter(
  footer: Buffer,
  end: number,
): { readonly filters: Place; readonly index: Place } {
  const fields = new FieldReader(footer);
  const filters = placeOf("list of filters", fields);
  const index = placeOf("index", fields);
  // No checksum is over these few bytes, but there is no choice in them either.
  if (
    !footer.subarray(-MAGIC.length).equals(MAGIC) ||
    endOf(filters) !== index.offset ||
    endOf(index) !== end
  )
    throw new FormError(
      `does not end as a table does, from byte ${end} on: ${footer.toString("hex")}`,
    );
  return { filters, index };
}

/** @throws FormError when a block is not what was written. */
async function prove(window: FileWindow, place: Place): Promise<void> {
  const end = place.offset + place.bytes + TYPE_BYTES;
  let crc = 0;
  for (let at = place.offset; at < end;) {
    const some = await window.some(at, end - at);
    crc = crc32c(some, crc);
    at += some.length;
  }
  const written = unmask(fixed32(await window.all(end, 4), 0));
  if (crc !== written)
    throw new FormError(
      `${describe(place)} has checksum ${hex(crc)}, and ${hex(written)} was written`,
    );
}

/** The content of a block that is proved. */
async function read(window: FileWindow, place: Place): Promise<Uint8Array> {
  const stored = await window.all(place.offset, place.bytes + TYPE_BYTES);
  const content = stored.subarray(0, -TYPE_BYTES);
  const type = stored.at(-1);
  if (type === PLAIN) return content;
  if (type === SNAPPY) return uncompress(content);
  throw new FormError(`${describe(place)} has type ${type}`);
}

/** What the entries of a block say of where other blocks lie. */
function* placesIn(
  block: Uint8Array,
  what: string,
): Generator<Place, void, undefined> {
  if (block.length < 4) throw new FormError(`has a ${what} list of nothing`);
  const restarts = fixed32(block, block.length - 4);
  const end = block.length - 4 - restarts * 4;
  if (end < 0) throw new FormError(`has a ${what} list of ${restarts} parts`);
  const entries = new FieldReader(block.subarray(0, end));
  while (!entries.isAtEnd) {
    // How much of the key is as in the entry before: nobody asks for keys here.
    entries.number();
    const keyBytes = entries.number();
    const valueBytes = entries.number();
    entries.bytes(keyBytes);
    yield placeOf(what, new FieldReader(entries.bytes(valueBytes)));
  }
}

function placeOf(what: string, fields: FieldReader): Place {
  return { what, offset: fields.number(), bytes: fields.number() };
}

function endOf({ offset, bytes }: Place): number {
  return offset + bytes + TRAILER_BYTES;
}

function describe({ what, offset, bytes }: Place): string {
  return `its ${what} block at byte ${offset}, of ${bytes} bytes,`;
}

function hex(checksum: number): string {
  return checksum.toString(16).padStart(8, "0");
}
