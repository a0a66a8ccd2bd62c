import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import fc from "fast-check";
import { expect, test } from "vitest";
import { flawOf } from "../../../src/dp/sync/incoming.ts";
import { ConnectResponseSchema } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";

type Message = NonNullable<
  MessageInitShape<typeof ConnectResponseSchema>["message"]
>;

/** Mostly right, else wrong in one of the ways there are. */
function mostly<T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<T>) {
  return fc.oneof(
    { weight: 8, arbitrary: right },
    { weight: 1, arbitrary: wrong },
  );
}

const hex = fc.stringMatching(/^[0-9a-f]{64}$/);
const cursor = fc.record({
  epoch: mostly(
    fc.string({ unit: "grapheme", maxLength: 32 }),
    fc.oneof(
      fc.string({ unit: "binary", minLength: 60, maxLength: 70 }),
      // Of characters that are two units each.
      fc
        .integer({ min: 60, max: 70 })
        .map((length) => "\u{1f600}".repeat(length)),
    ),
  ),
  revision: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  root: mostly(
    hex,
    fc.oneof(
      fc.string(),
      hex.map((root) => `${root}\n`),
      hex.map((root) => root.slice(1)),
      hex.map((root) => `${root}0`),
      hex.map((root) => root.toUpperCase()),
    ),
  ),
});
const index = mostly(fc.nat(1023), fc.integer({ min: 1020, max: 2 ** 32 - 1 }));
const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length });
const digest = fc.record({
  index,
  hash: mostly(
    bytes(32),
    fc.oneof(bytes(0), bytes(31), bytes(33), fc.uint8Array()),
  ),
  size: fc.nat(2 ** 32 - 1),
});
const many = (most: number) =>
  mostly(fc.nat(3), fc.constantFrom(most - 1, most, most + 1));
const optional = <T>(value: fc.Arbitrary<T>) =>
  fc.option(value, { nil: undefined });
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ head: optional(cursor), session: fc.string() }).map((value) => ({
    case: "welcome" as const,
    value,
  })),
  fc.record({ head: optional(cursor) }).map((value) => ({
    case: "heartbeat" as const,
    value,
  })),
  fc
    .record({
      seq: fc.bigInt({ min: 0n, max: 5n }),
      cursor: optional(cursor),
      some: fc.array(digest, { maxLength: 3 }),
      count: many(1024),
      epochs: many(64),
    })
    .map(({ seq, cursor, some, count, epochs }) => ({
      case: "manifest" as const,
      value: {
        seq,
        ...(cursor === undefined ? {} : { cursor }),
        buckets: Array.from(
          { length: count },
          (_, i) => some[i] ?? { index: 1, hash: new Uint8Array(32) },
        ),
        predecessors: Array.from({ length: epochs }, String),
      },
    })),
  fc
    .record({ index, data: fc.uint8Array() })
    .map((value) => ({ case: "bucketChunk" as const, value })),
  fc
    .record({
      some: fc.array(fc.record({ index, size: fc.nat() }), { maxLength: 3 }),
      count: many(1024),
    })
    .map(({ some, count }) => ({
      case: "bucketBatch" as const,
      value: {
        buckets: Array.from({ length: count }, (_, i) => some[i] ?? {}),
      },
    })),
  fc
    .record({ some: fc.array(index, { maxLength: 3 }), count: many(1024) })
    .map(({ some, count }) => ({
      case: "bucketBatch" as const,
      value: {
        buckets: Array.from({ length: count }, (_, i) => ({
          index: some[i] ?? 1,
        })),
      },
    })),
  fc
    .record({ from: optional(cursor), to: optional(cursor) })
    .map((value) => ({ case: "delta" as const, value })),
  fc
    .record({
      message: fc.string(),
      alternatives: fc.array(fc.string(), { maxLength: 100 }),
    })
    .map((value) => ({ case: "goodbye" as const, value })),
  fc.constant({ case: undefined }),
);

test("the checks by hand find fault with the same messages as the rules of the .proto file", () => {
  const validator = createValidator();
  let faults = 0;
  let runs = 0;
  fc.assert(
    fc.property(message, (init) => {
      const response = create(ConnectResponseSchema, { message: init });
      const byRules = validator.validate(ConnectResponseSchema, response);
      const byHand = flawOf(response);
      expect(byRules.kind).not.toBe("error");
      expect({ flaw: byHand !== undefined, byHand }).toEqual({
        flaw: byRules.kind === "invalid",
        byHand,
      });
      runs++;
      if (byHand !== undefined) faults++;
    }),
    { numRuns: 2_000 },
  );
  // Both verdicts are common.
  expect(faults).toBeGreaterThan(runs / 20);
  expect(faults).toBeLessThan((runs * 19) / 20);
});
