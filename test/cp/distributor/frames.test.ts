import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { randomBytes } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { FrameBody } from "../../../src/cp/distributor/frame-body.ts";
import { frameOf, Frames } from "../../../src/cp/distributor/frames.ts";
import {
  BucketChunkSchema,
  Codec,
  ConnectResponseSchema,
  DeltaContentSchema,
  DeltaSchema,
  ManifestSchema,
  type ConnectResponse,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { Bucket } from "../../../src/model/bucket.ts";
import { LIMITS } from "../../../src/sync/limits.ts";
import { cursor } from "../../support/cursors.ts";
import { filled, stateOf } from "../../support/states.ts";

const KIB = 1024;

function decode(body: FrameBody, seq = 1n): ConnectResponse["message"] {
  // As plain bytes: fields of a Buffer would be Buffers.
  const bytes = new Uint8Array(frameOf(body, seq));
  return fromBinary(ConnectResponseSchema, bytes).message;
}

const seqs = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n });

describe("rule 4, encoded once: a shared body with a seq in front", () => {
  test("is the same message as one that was encoded whole", () => {
    fc.assert(
      fc.property(
        seqs,
        fc.nat({ max: 1_000_000 }),
        fc.uint8Array({ maxLength: 400 }),
        fc.boolean(),
        (seq, number, data, flag) => {
          const chunk = create(BucketChunkSchema, {
            index: number % 1024,
            offset: number,
            last: flag,
            codec: Codec.IDENTITY,
            data,
            size: data.length,
          });
          const delta = create(DeltaSchema, {
            from: cursor(number),
            to: cursor(number + 1),
            codec: Codec.GZIP,
            data,
            size: number,
          });
          const manifest = create(ManifestSchema, {
            cursor: cursor(number),
            buckets: [{ index: 3, hash: data, size: number }],
            totals: { buckets: 1, entries: 2n, bytes: BigInt(number) },
            whole: flag,
          });
          const pairs = [
            [
              {
                type: "bucket_chunk",
                bytes: toBinary(BucketChunkSchema, chunk),
              },
              { case: "bucketChunk", value: { ...chunk, seq } },
            ],
            [
              { type: "delta", bytes: toBinary(DeltaSchema, delta) },
              { case: "delta", value: { ...delta, seq } },
            ],
            [
              { type: "manifest", bytes: toBinary(ManifestSchema, manifest) },
              { case: "manifest", value: { ...manifest, seq } },
            ],
          ] as const;
          for (const [body, message] of pairs) {
            const frame = frameOf(body, seq);
            const whole = create(ConnectResponseSchema, { message });
            expect(
              fromBinary(ConnectResponseSchema, new Uint8Array(frame)),
            ).toEqual(whole);
            expect(Buffer.from(frame)).toEqual(
              Buffer.from(toBinary(ConnectResponseSchema, whole)),
            );
          }
        },
      ),
    );
  });
});

describe("rule 4, bounded frames: a delta", () => {
  test("is encoded once for each pair of states, and the same object for all that need it, at the same time or later", async () => {
    const frames = new Frames();
    const [a, b, c] = [filled(1, 100), filled(2, 3), filled(3, 100)];
    const [first, second] = await Promise.all([
      frames.delta(a, c),
      frames.delta(a, c),
    ]);
    expect(first).toBeDefined();
    expect(second).toBe(first);
    expect(await frames.delta(a, c)).toBe(first);
    const other = await frames.delta(b, c);
    expect(other).not.toBe(first);
    expect(await frames.delta(a, c)).toBe(first);
    // Equal by name, though read anew.
    expect(await frames.delta(filled(1, 100), filled(3, 100))).toBe(first);
  });

  test("to an older state is let go of", async () => {
    const frames = new Frames();
    const [a, b, c] = [filled(1, 10), filled(2, 10), filled(3, 10)];
    const first = await frames.delta(a, b);
    await frames.delta(a, c);
    expect(await frames.delta(a, b)).not.toBe(first);
  });

  test("that could not be made is made for the next that needs it", async () => {
    const frames = new Frames();
    const [a, b] = [filled(1, 10), filled(2, 10)];
    let left = 1;
    const from = {
      cursor: a.cursor,
      get snapshot() {
        if (left-- > 0) throw new Error("out of memory");
        return a.snapshot;
      },
    };
    await expect(frames.delta(from, b)).rejects.toThrow("out of memory");
    expect(await frames.delta(from, b)).toBeDefined();
  });

  test("says from, to and the net difference, compressed from 1 KiB on if that makes it smaller", async () => {
    const base = filled(1, 100, 300);
    const codecOf = async (value: string | Uint8Array): Promise<Codec> => {
      const to = stateOf(2, [
        ...Array.from(
          { length: 99 },
          (_, n) => [n, `1 ${n} `.padEnd(300, "x")] as const,
        ),
        [200, value] as const,
      ]);
      const body = await new Frames().delta(base, to);
      if (body === undefined) throw new Error("no delta");
      const message = decode(body, 7n);
      if (message.case !== "delta") throw new Error("not a delta");
      const { value: delta } = message;
      expect(delta).toMatchObject({
        seq: 7n,
        from: base.cursor,
        to: to.cursor,
      });
      const plain =
        delta.codec === Codec.GZIP ? gunzipSync(delta.data) : delta.data;
      expect(plain).toHaveLength(delta.size);
      const { puts, deletes } = fromBinary(DeltaContentSchema, plain);
      expect(deletes).toHaveLength(1);
      expect(puts).toHaveLength(1);
      expect(Buffer.from(puts[0]?.value ?? [])).toEqual(Buffer.from(value));
      return delta.codec;
    };
    expect(await codecOf("small")).toBe(Codec.IDENTITY);
    expect(await codecOf("large ".repeat(2000))).toBe(Codec.GZIP);
    expect(await codecOf(randomBytes(2000))).toBe(Codec.IDENTITY);
  });

  test.each([
    ["empty: the content is the same", 0, 0, true],
    ["64 KiB and all of the snapshot", 1, 60 * KIB, true],
    ["over 64 KiB and over a third of the snapshot", 1, 70 * KIB, false],
    ["over 64 KiB and under a third of the snapshot", 4, 70 * KIB, true],
    ["1 MiB and under a third of the snapshot", 40, 1000 * KIB, true],
    ["over 1 MiB and under a third of the snapshot", 40, 1030 * KIB, false],
  ])("that is %s", async (_name, rest, bytes, fits) => {
    // `rest` entries of 100 KiB that stay, and one entry of `bytes` that comes.
    const same = Array.from(
      { length: rest },
      (_, n) => [n, Buffer.alloc(100 * KIB, n)] as const,
    );
    const from = stateOf(1, same);
    const to = stateOf(
      2,
      bytes === 0 ? same : [...same, [99, randomBytes(bytes)]],
    );
    expect((await new Frames().delta(from, to)) !== undefined).toBe(fits);
  });

  test("whose deletes alone are too large is none either", async () => {
    const from = filled(1, 30_000, 10);
    expect(await new Frames().delta(from, stateOf(2))).toBeUndefined();
  }, 20_000);
});

describe("rule 4, bounded frames: a manifest", () => {
  test("lists every bucket with hash and size, or none when the node knows them; the totals are there either way", () => {
    const state = filled(1, 3);
    const buckets = [...state.snapshot.buckets()];
    for (const known of [true, false]) {
      const message = decode(
        new Frames().manifest(state, {
          known,
          whole: !known,
          allowed: !known,
          predecessors: ["older", "old"],
        }),
      );
      expect(message).toMatchObject({
        case: "manifest",
        value: {
          cursor: state.cursor,
          whole: !known,
          allowed: !known,
          predecessors: ["older", "old"],
          totals: {
            buckets: buckets.length,
            entries: 3n,
            bytes: BigInt(state.snapshot.byteCount),
          },
          buckets: known
            ? []
            : buckets.map(([index, { hash, bytes }]) => ({
                index,
                hash: new Uint8Array(hash),
                size: bytes.length,
              })),
        },
      });
    }
  });
});

describe("rule 4, bounded frames: chunks", () => {
  function bucketOf(bytes: number, fill?: number): Bucket {
    const value =
      fill === undefined ? randomBytes(bytes) : Buffer.alloc(bytes, fill);
    const bucket = Bucket.ofSorted([{ key: "service/x", value }]);
    if (bucket === undefined) throw new Error("empty");
    return bucket;
  }

  /** What is sent for one bucket to a node that takes them one by one. */
  async function chunksOf(
    frames: Frames,
    index: number,
    bucket: Bucket,
  ): Promise<readonly FrameBody[]> {
    for await (const piece of frames.pieces([{ index, bucket }], false))
      return piece.bodies;
    throw new Error("no piece");
  }

  test.each([1, 255 * KIB, 256 * KIB, 256 * KIB + 1, 1500 * KIB])(
    "of a bucket of about %i bytes are at most 256 KiB each, in order, and give it back",
    async (size) => {
      for (const fill of [undefined, 0]) {
        const bucket = bucketOf(size, fill);
        const parts: Uint8Array[] = [];
        let at = 0;
        const chunks = await chunksOf(new Frames(), 5, bucket);
        for (const [i, body] of chunks.entries()) {
          const message = decode(body, 3n);
          if (message.case !== "bucketChunk") throw new Error("no chunk");
          const { value } = message;
          const plain =
            value.codec === Codec.GZIP ? gunzipSync(value.data) : value.data;
          expect(value).toMatchObject({
            seq: 3n,
            index: 5,
            offset: at,
            size: plain.length,
            last: i === chunks.length - 1,
          });
          expect(plain.length).toBeLessThanOrEqual(LIMITS.chunkBytes);
          at += plain.length;
          parts.push(plain);
        }
        expect(Buffer.concat(parts).equals(bucket.bytes)).toBe(true);
      }
    },
  );

  test("are made once for a bucket while there is room, and the oldest go when there is none", async () => {
    const frames = new Frames();
    const buckets = Array.from({ length: 5 }, () => bucketOf(20 << 20));
    const [a, b, c, d] = buckets;
    if (!a || !b || !c || !d) throw new Error("no buckets");
    // Not toBe(): it would compare megabytes byte by byte to say how they differ.
    const isKept = async (
      index: number,
      bucket: Bucket,
      chunks: readonly FrameBody[],
    ): Promise<boolean> => (await chunksOf(frames, index, bucket)) === chunks;
    const first = await chunksOf(frames, 0, a);
    expect(await isKept(0, a, first)).toBe(true);
    const second = await chunksOf(frames, 1, b);
    await chunksOf(frames, 2, c);
    // Used again: `b` is the oldest now.
    expect(await isKept(0, a, first)).toBe(true);
    // 80 MiB do not fit in 64.
    await chunksOf(frames, 3, d);
    expect(await isKept(0, a, first)).toBe(true);
    expect(await isKept(1, b, second)).toBe(false);
  }, 30_000);
});

describe("rule 4, bounded frames: batches", () => {
  async function collect(
    frames: Frames,
    buckets: readonly { readonly index: number; readonly bucket: Bucket }[],
    batched = true,
  ) {
    const pieces: { bodies: readonly FrameBody[]; bytes: number }[] = [];
    for await (const piece of frames.pieces(buckets, batched))
      pieces.push(piece);
    return pieces;
  }

  function numbered(sizes: readonly number[]) {
    return sizes.map((size, index) => {
      const value = randomBytes(size);
      const bucket = Bucket.ofSorted([{ key: "service/x", value }]);
      if (bucket === undefined) throw new Error("empty");
      return { index: index * 3, bucket };
    });
  }

  test("are whole buckets in the order asked for, as many as make 256 KiB; a larger one goes by itself, in chunks", async () => {
    const buckets = numbered([
      ...Array.from({ length: 300 }, () => 1_000),
      300 * KIB,
      10,
      200 * KIB,
      100 * KIB,
    ]);
    const pieces = await collect(new Frames(), buckets);
    const got = new Map<number, Buffer>();
    const order: number[] = [];
    for (const { bodies, bytes } of pieces) {
      let sum = 0;
      for (const body of bodies) {
        const message = decode(body, 4n);
        if (message.case === "bucketChunk") {
          const { index, data } = message.value;
          expect(message.value.codec).toBe(Codec.IDENTITY);
          if (!got.has(index)) order.push(index);
          got.set(
            index,
            Buffer.concat([got.get(index) ?? Buffer.alloc(0), data]),
          );
          sum += data.length;
          continue;
        }
        if (message.case !== "bucketBatch") throw new Error("no batch");
        const { value } = message;
        const plain =
          value.codec === Codec.GZIP ? gunzipSync(value.data) : value.data;
        expect(plain.length).toBe(value.size);
        expect(plain.length).toBeLessThanOrEqual(LIMITS.chunkBytes);
        expect(value.seq).toBe(4n);
        let at = 0;
        for (const { index, size } of value.buckets) {
          order.push(index);
          got.set(index, Buffer.from(plain.subarray(at, at + size)));
          at += size;
        }
        expect(at).toBe(plain.length);
        sum += plain.length;
      }
      expect(bytes).toBe(sum);
    }
    expect(order).toEqual(buckets.map(({ index }) => index));
    for (const { index, bucket } of buckets)
      expect(got.get(index)?.equals(bucket.bytes)).toBe(true);
    // 300 small ones of a bit more than 1,000 bytes: 256 KiB take 259 of them.
    expect(pieces.length).toBeLessThanOrEqual(6);
  });

  test("are encoded once for all that ask for the same, at the same time or later", async () => {
    const frames = new Frames();
    const buckets = numbered([100, 200, 300]);
    const [first, second] = await Promise.all([
      collect(frames, buckets),
      collect(frames, buckets),
    ]);
    const third = await collect(frames, buckets);
    expect(first[0]?.bodies[0]).toBe(second[0]?.bodies[0]);
    expect(first[0]?.bodies[0]).toBe(third[0]?.bodies[0]);
    const other = await collect(frames, buckets.slice(1));
    expect(other[0]?.bodies[0]).not.toBe(first[0]?.bodies[0]);
  });

  test("are not made for a node that cannot take them", async () => {
    const pieces = await collect(new Frames(), numbered([100, 200]), false);
    expect(pieces.map(({ bodies }) => bodies.map(({ type }) => type))).toEqual([
      ["bucket_chunk"],
      ["bucket_chunk"],
    ]);
  });
});
