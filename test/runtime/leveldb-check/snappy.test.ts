import { expect, test } from "vitest";
import { FormError } from "../../../src/runtime/leveldb-check/field-reader.ts";
import { uncompress } from "../../../src/runtime/leveldb-check/snappy.ts";

/** A literal of so many bytes, its length in as few bytes as that takes. */
function literal(length: number): Buffer {
  const content = Buffer.from(Array.from({ length }, (_, i) => i % 251));
  const short = length - 1;
  const head =
    short < 60
      ? [short << 2]
      : short < 256
        ? [60 << 2, short]
        : [61 << 2, short & 0xff, short >> 8];
  return Buffer.concat([Buffer.from(head), content]);
}

test.each([
  ["nothing", "00", ""],
  ["a literal", "03 08 616263", "616263"],
  ["a short copy", "07 08 616263 01 03", "61626361626361"],
  ["a copy of two bytes of distance", "06 08 616263 0a 0300", "616263616263"],
  ["a copy of four", "06 08 616263 0b 03000000", "616263616263"],
  ["a copy of what it makes itself", "06 00 61 05 01", "616161616161"],
])("%s is unpacked", (_name, packed, expected) => {
  expect(
    Buffer.from(
      uncompress(Buffer.from(packed.replaceAll(" ", ""), "hex")),
    ).toString("hex"),
  ).toBe(expected);
});

test.each([1, 60, 61, 256, 257, 5_000])(
  "a literal of %d bytes is unpacked",
  (length) => {
    const size =
      length < 128 ? [length] : [(length & 0x7f) | 0x80, length >> 7];
    const packed = literal(length);
    expect(uncompress(Buffer.concat([Buffer.from(size), packed]))).toEqual(
      packed.subarray(-length),
    );
  },
);

test.each([
  ["that is empty", "", "ends too early"],
  ["with a length that nothing can have", "ffffffffffffffffffff", "too large"],
  ["with more announced than it can hold", "ff7f 00 61", "cannot hold"],
  ["with less than announced", "05 00 61", "announces 5 bytes, and has 1"],
  ["with more than announced", "01 04 6162", "leaves its 1 bytes"],
  ["cut in a literal", "03 08 6162", "has 3 bytes announced"],
  ["cut in a copy", "06 08 616263 0a 03", "has 2 bytes announced"],
  ["with a copy from before its beginning", "05 00 61 01 02", "leaves its"],
  ["with a copy of nowhere", "05 00 61 01 00", "copies nothing"],
])("a block %s is refused", (_name, packed, reason) => {
  const bytes = Buffer.from(packed.replaceAll(" ", ""), "hex");
  expect(() => uncompress(bytes)).toThrow(reason);
  expect(() => uncompress(bytes)).toThrow(FormError);
});
