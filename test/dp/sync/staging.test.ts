import { create } from "@bufbuild/protobuf";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { Staging, unpack, WireError } from "../../../src/dp/sync/staging.ts";
import {
  BucketChunkSchema,
  BucketDigestSchema,
  Codec,
  type BucketChunk,
  type BucketDigest,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import type { Bucket } from "../../../src/model/bucket.ts";
import type { Snapshot } from "../../../src/model/snapshot.ts";
import { LIMITS } from "../../../src/sync/limits.ts";
import { filled, stateOf } from "../../support/states.ts";

function digestsOf(snapshot: Snapshot): readonly BucketDigest[] {
  return [...snapshot.buckets()].map(([index, bucket]) =>
    create(BucketDigestSchema, {
      index,
      hash: bucket.hash,
      size: bucket.bytes.length,
    }),
  );
}

type Piece = Pick<BucketChunk, "index" | "offset" | "last" | "size"> &
  Partial<Pick<BucketChunk, "codec" | "data">>;

function chunk(piece: Piece, bytes: Buffer): BucketChunk {
  return create(BucketChunkSchema, {
    codec: Codec.IDENTITY,
    data: bytes.subarray(piece.offset, piece.offset + piece.size),
    ...piece,
  });
}

/** A bucket as the pieces of so many bytes it comes in. */
function piecesOf(
  index: number,
  { bytes }: Bucket,
  length = LIMITS.chunkBytes,
): readonly BucketChunk[] {
  const pieces: BucketChunk[] = [];
  for (let at = 0; at < bytes.length; at += length) {
    const size = Math.min(length, bytes.length - at);
    pieces.push(
      chunk(
        { index, offset: at, size, last: at + size === bytes.length },
        bytes,
      ),
    );
  }
  return pieces;
}

/** One bucket of some bytes, and a staging that waits for it. */
function waiting(bytes: number): {
  readonly staging: Staging;
  readonly index: number;
  readonly bucket: Bucket;
  readonly digest: BucketDigest;
} {
  const { snapshot } = stateOf(1, [[1, Buffer.alloc(bytes, 7)]]);
  const [digest] = digestsOf(snapshot);
  const [[index, bucket] = []] = [...snapshot.buckets()];
  if (digest === undefined || index === undefined || bucket === undefined)
    throw new Error("empty");
  const staging = new Staging();
  expect(staging.begin([digest], undefined, false)).toEqual([digest]);
  return { staging, index, bucket, digest };
}

describe("chunks", () => {
  test.each([1, 7, 1000, LIMITS.chunkBytes])(
    "of %i bytes make the bucket whole, in order, plain or compressed",
    (length) => {
      for (const compressed of [false, true]) {
        const { staging, index, bucket, digest } = waiting(
          length < 1000 ? 500 : 600_000,
        );
        const pieces = piecesOf(index, bucket, length).map((piece) =>
          compressed
            ? { ...piece, codec: Codec.GZIP, data: gzipSync(piece.data) }
            : piece,
        );
        for (const [i, piece] of pieces.entries()) {
          expect(staging.bucket(digest, undefined)).toBeUndefined();
          expect(staging.receive(piece)).toEqual({
            type: i === pieces.length - 1 ? "whole" : "more",
          });
        }
        const whole = staging.bucket(digest, undefined);
        expect(whole?.bytes.equals(bucket.bytes)).toBe(true);
      }
    },
  );

  const broken: Readonly<
    Record<string, (bucket: Bucket, size: number) => Partial<Piece>>
  > = {
    "that leaves a gap": () => ({ offset: 101 }),
    "that comes again": () => ({ offset: 0 }),
    "that goes beyond the bucket": (_b, size) => ({ size: size - 99 }),
    "that says to be the last and is not": () => ({ last: true }),
    "that is the last and does not say so": (_b, size) => ({
      size: size - 100,
      last: false,
    }),
  };
  test.each(Object.entries(broken))(
    "one %s breaks the protocol",
    (_name, make) => {
      const { staging, index, bucket } = waiting(1000);
      const first = { index, offset: 0, size: 100, last: false };
      expect(staging.receive(chunk(first, bucket.bytes))).toEqual({
        type: "more",
      });
      const bad = {
        index,
        offset: 100,
        size: 100,
        last: false,
        ...make(bucket, bucket.bytes.length),
      };
      const padded = Buffer.concat([bucket.bytes, Buffer.alloc(1000)]);
      expect(staging.receive(chunk(bad, padded))).toMatchObject({
        type: "breach",
      });
    },
  );

  test("one of more than 256 KiB breaks the protocol", () => {
    const { staging, index, bucket } = waiting(600_000);
    const size = LIMITS.chunkBytes + 1;
    expect(
      staging.receive(
        chunk({ index, offset: 0, size, last: false }, bucket.bytes),
      ),
    ).toMatchObject({ type: "breach" });
  });

  test("one of a bucket that is not awaited, or came whole before, breaks the protocol", () => {
    const { staging, index, bucket } = waiting(100);
    const [piece] = piecesOf(index, bucket);
    if (piece === undefined) throw new Error("no piece");
    expect(
      staging.receive({ ...piece, index: (index + 1) % 1024 }),
    ).toMatchObject({ type: "breach" });
    expect(staging.receive(piece)).toEqual({ type: "whole" });
    expect(staging.receive(piece)).toMatchObject({ type: "breach" });
  });

  test("whose bytes are others make the bucket damaged, and it is not kept", () => {
    for (const at of [0, 20, 90]) {
      const { staging, index, bucket, digest } = waiting(100);
      const bytes = Buffer.from(bucket.bytes);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      expect(
        staging.receive(
          chunk({ index, offset: 0, size: bytes.length, last: true }, bytes),
        ),
      ).toMatchObject({ type: "damaged" });
      expect(staging.bucket(digest, undefined)).toBeUndefined();
    }
  });
});

describe("data", () => {
  test("that inflates to more than it says is refused before there is room for it", () => {
    // 1 GiB in a megabyte.
    const member = gzipSync(Buffer.alloc(16 << 20));
    const bomb = Buffer.concat(Array.from({ length: 64 }, () => member));
    const before = process.memoryUsage().rss;
    expect(() => unpack(Codec.GZIP, bomb, 1000)).toThrow(
      `${bomb.length} bytes do not inflate to 1000`,
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20);
  });

  test.each([
    ["fewer bytes than it says", Codec.GZIP, gzipSync(Buffer.alloc(10)), 11],
    ["one byte more than it says", Codec.GZIP, gzipSync(Buffer.alloc(12)), 11],
    [
      "something although it says nothing",
      Codec.GZIP,
      gzipSync(Buffer.alloc(1)),
      0,
    ],
    ["half a gzip", Codec.GZIP, gzipSync(Buffer.alloc(10)).subarray(0, 15), 10],
    ["no gzip", Codec.GZIP, Buffer.from("nothing"), 7],
    ["another length, plain", Codec.IDENTITY, Buffer.alloc(3), 4],
    ["a codec that is not known", 9 as Codec, Buffer.alloc(3), 3],
    ["no codec", Codec.UNSPECIFIED, Buffer.alloc(3), 3],
  ])("with %s is refused", (_name, codec, data, size) => {
    expect(() => unpack(codec, data, size)).toThrow(WireError);
  });

  test("of no length is taken", () => {
    expect(unpack(Codec.GZIP, gzipSync(Buffer.alloc(0)), 0)).toHaveLength(0);
    expect(unpack(Codec.IDENTITY, new Uint8Array(), 0)).toHaveLength(0);
  });
});

describe("a manifest", () => {
  const served = filled(1, 200).snapshot;
  // Ten entries are others: most buckets are the same.
  const next = stateOf(2, [
    ...Array.from(
      { length: 190 },
      (_, n) => [n, `1 ${n} `.padEnd(100, "x")] as const,
    ),
    ...Array.from({ length: 10 }, (_, n) => [190 + n, "changed"] as const),
  ]).snapshot;

  test("lacks the buckets that are held neither served nor staged", () => {
    const staging = new Staging();
    const all = digestsOf(next);
    const lacking = staging.begin(all, served, false);
    expect(lacking.length).toBeGreaterThan(0);
    expect(lacking.length).toBeLessThanOrEqual(10);
    for (const digest of all) {
      const lacks = lacking.includes(digest);
      expect(staging.bucket(digest, served) === undefined).toBe(lacks);
    }
    expect(new Staging().begin(digestsOf(next), next, false)).toEqual([]);
    expect(new Staging().begin(digestsOf(next), undefined, false)).toEqual(
      digestsOf(next),
    );
  });

  test("that is to be fetched whole lacks all of them, staged ones too", () => {
    const staging = new Staging();
    for (let i = 0; i < 2; i++) {
      expect(staging.begin(digestsOf(next), next, true)).toEqual(
        digestsOf(next),
      );
      for (const [index, bucket] of next.buckets())
        for (const piece of piecesOf(index, bucket))
          expect(staging.receive(piece)).toEqual({ type: "whole" });
    }
  });

  test("that replaces another keeps the buckets that came whole and occur again, not the halves, and lets go of the rest", () => {
    const staging = new Staging();
    const [a, b, c] = [...next.buckets()];
    if (!a || !b || !c) throw new Error("too few buckets");
    const all = digestsOf(next);
    const digest = ([index]: readonly [number, Bucket]): BucketDigest => {
      const found = all.find((one) => one.index === index);
      if (found === undefined) throw new Error("no digest");
      return found;
    };
    staging.begin(all, undefined, false);
    for (const [index, bucket] of [a, b])
      for (const piece of piecesOf(index, bucket)) staging.receive(piece);
    // Half of a third.
    const [half] = piecesOf(c[0], c[1], 50);
    if (half === undefined) throw new Error("no piece");
    expect(staging.receive(half)).toEqual({ type: "more" });

    const without = all.filter((one) => one !== digest(b));
    const lacking = staging.begin(without, undefined, false);
    expect(lacking).toEqual(without.filter((one) => one !== digest(a)));
    expect(staging.bucket(digest(a), undefined)).toBeDefined();
    expect(staging.bucket(digest(b), undefined)).toBeUndefined();
    // From its beginning again.
    expect(staging.receive(half)).toEqual({ type: "more" });

    staging.clear();
    expect(staging.bucket(digest(a), undefined)).toBeUndefined();
    expect(staging.receive(half)).toMatchObject({ type: "breach" });
  });
});
