import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc32c } from "../../../src/runtime/leveldb-check/crc32c.ts";
import {
  LOG_BLOCK_BYTES,
  logRecords,
} from "../../../src/runtime/leveldb-check/log-records.ts";

const HEADER_BYTES = 7;

/** A log with records, as LevelDB writes it. */
function logOf(records: readonly Uint8Array[]): Buffer {
  const parts: Buffer[] = [];
  let left = LOG_BLOCK_BYTES;
  for (const record of records) {
    let done = 0;
    for (let isFirst = true; isFirst || done < record.length; isFirst = false) {
      if (left < HEADER_BYTES) {
        parts.push(Buffer.alloc(left));
        left = LOG_BLOCK_BYTES;
      }
      const content = record.subarray(done, done + left - HEADER_BYTES);
      done += content.length;
      const isLast = done === record.length;
      const type = isFirst ? (isLast ? 1 : 2) : isLast ? 4 : 3;
      parts.push(fragment(type, content));
      left -= HEADER_BYTES + content.length;
    }
  }
  return Buffer.concat(parts);
}

function fragment(type: number, content: Uint8Array): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(HEADER_BYTES), content]);
  bytes[6] = type;
  bytes.writeUInt16LE(content.length, 4);
  const crc = crc32c(bytes.subarray(6));
  bytes.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0, 0);
  return bytes;
}

/** What can be compared quickly: each record in a few words. */
function brief(records: readonly Uint8Array[]): readonly string[] {
  return records.map((record) => `${record.length}: ${crc32c(record)}`);
}

async function read(log: Buffer): Promise<readonly Uint8Array[]> {
  async function* blocks(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let at = 0; at <= log.length; at += LOG_BLOCK_BYTES)
      yield await Promise.resolve(log.subarray(at, at + LOG_BLOCK_BYTES));
  }
  const records: Uint8Array[] = [];
  for await (const record of logRecords(blocks()))
    records.push(Buffer.from(record));
  return records;
}

const sizes = fc.array(
  fc.oneof(
    fc.nat({ max: 100 }),
    fc.integer({ min: LOG_BLOCK_BYTES - 30, max: LOG_BLOCK_BYTES + 10 }),
    fc.nat({ max: 3 * LOG_BLOCK_BYTES }),
  ),
  { maxLength: 6 },
);

function recordsOf(lengths: readonly number[]): readonly Buffer[] {
  return lengths.map((length, i) => Buffer.alloc(length, i + 1));
}

describe("the records of a log", () => {
  test("are read as they were written, however they lie in blocks", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async (lengths) => {
        const records = recordsOf(lengths);
        expect(brief(await read(logOf(records)))).toEqual(brief(records));
      }),
      { numRuns: 60 },
    );
  });

  test("that a crash cut are those before it", async () => {
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (lengths, share) => {
          const records = recordsOf(lengths);
          const log = logOf(records);
          const cut = log.subarray(0, Math.floor(log.length * share));
          const got = brief(await read(cut));
          expect(got).toEqual(brief(records).slice(0, got.length));
        },
      ),
      { numRuns: 60 },
    );
  });

  const [one, two] = [fragment(1, Buffer.from("one")), Buffer.from("two")];

  test("go on after a beginning of nothing at the end of a block", async () => {
    const filler = LOG_BLOCK_BYTES - 2 * HEADER_BYTES;
    const log = Buffer.concat([
      fragment(1, Buffer.alloc(filler)),
      fragment(2, Buffer.alloc(0)),
      one,
    ]);
    expect(await read(log)).toEqual([Buffer.alloc(filler), Buffer.from("one")]);
  });

  test("end where zeros do not end any more", async () => {
    expect(await read(Buffer.concat([one, Buffer.alloc(500)]))).toEqual([
      Buffer.from("one"),
    ]);
  });

  const spoilt = Buffer.from(one);
  spoilt[8] = 0;
  test.each([
    ["has another byte", spoilt, "another checksum"],
    ["has no beginning", fragment(4, two), "without a beginning"],
    ["has no end", Buffer.concat([fragment(2, two), one]), "without an end"],
    ["is of no known type", fragment(5, two), "of type 5"],
    [
      "is zeros, with more after it",
      Buffer.concat([one, Buffer.alloc(500), one]),
      "a hole",
    ],
    [
      "leaves its block",
      Buffer.concat([
        fragment(1, Buffer.alloc(LOG_BLOCK_BYTES)),
        fragment(1, two),
      ]),
      "leaves its block",
    ],
  ])("are not read when one %s", async (_name, log, reason) => {
    await expect(read(log)).rejects.toThrow(reason);
  });
});
