import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc32c, unmask } from "../../../src/runtime/leveldb-check/crc32c.ts";

/** RFC 3720, section B.4. */
const VECTORS: Readonly<Record<string, readonly [Uint8Array, number]>> = {
  "32 bytes of zeros": [Buffer.alloc(32), 0x8a9136aa],
  "32 bytes of ones": [Buffer.alloc(32, 0xff), 0x62a8ab43],
  "32 bytes upwards": [
    Uint8Array.from({ length: 32 }, (_, i) => i),
    0x46dd794e,
  ],
  "32 bytes downwards": [
    Uint8Array.from({ length: 32 }, (_, i) => 31 - i),
    0x113fdb5c,
  ],
  "a SCSI read command": [
    Buffer.from(
      "01c00000000000000000000000000000140000000000040000000014000000182800000000000000" +
        "0200000000000000",
      "hex",
    ),
    0xd9963a56,
  ],
};

describe("CRC-32C", () => {
  test.each(Object.entries(VECTORS))(
    "of %s is what the RFC says",
    (_name, [bytes, expected]) => {
      expect(crc32c(bytes)).toBe(expected);
    },
  );

  test("of something in pieces is that of the whole, wherever it lies in memory", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100 }),
        fc.nat({ max: 100 }),
        fc.nat({ max: 20 }),
        (bytes, cut, offset) => {
          const moved = Buffer.concat([Buffer.alloc(offset), bytes]).subarray(
            offset,
          );
          expect(
            crc32c(moved.subarray(cut), crc32c(moved.subarray(0, cut))),
          ).toBe(crc32c(bytes));
        },
      ),
    );
  });

  test("is stored masked", () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffffffff }), (crc) => {
        const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
        expect(unmask(masked)).toBe(crc);
      }),
    );
  });
});
