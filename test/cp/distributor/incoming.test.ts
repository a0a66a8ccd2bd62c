import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import fc from "fast-check";
import { expect, test } from "vitest";
import { flawOf } from "../../../src/cp/distributor/incoming.ts";
import {
  ConnectRequestSchema,
  type NackClass,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";

type Message = NonNullable<
  MessageInitShape<typeof ConnectRequestSchema>["message"]
>;

/** Mostly right, else wrong in one of the ways there are. */
function mostly<T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<T>) {
  return fc.oneof(
    { weight: 6, arbitrary: right },
    { weight: 1, arbitrary: wrong },
  );
}

function optional<T>(value: fc.Arbitrary<T>) {
  return mostly<T | undefined>(value, fc.constant(undefined));
}

const hex = fc.stringMatching(/^[0-9a-f]{64}$/);
const cursor = fc.record({
  epoch: mostly(
    fc.string({ maxLength: 32 }),
    fc.string({ unit: "binary", minLength: 60, maxLength: 70 }),
  ),
  revision: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  root: mostly(
    hex,
    fc.oneof(
      fc.string(),
      hex.map((root) => `${root}0`),
    ),
  ),
});
const seq = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const digest = fc.record({
  index: mostly(fc.nat(1023), fc.integer({ min: 1020, max: 2 ** 32 - 1 })),
  hash: mostly(
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.uint8Array({ maxLength: 40 }),
  ),
});
/** One of them is of no known class. */
const CLASSES = [0, 1, 2, 3, 4, 5, 6, 7, 99] as readonly NackClass[];
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ seq, cursor: optional(cursor) }).map(({ seq, cursor }) => ({
    case: "ack" as const,
    value: { seq, ...(cursor === undefined ? {} : { cursor }) },
  })),
  fc
    .record({
      serving: optional(cursor),
      step: optional(mostly(fc.string(), fc.string({ minLength: 40 }))),
      counters: mostly(fc.constant(0), fc.constantFrom(1, 1024, 1025)),
    })
    .map(({ serving, step, counters }) => ({
      case: "report" as const,
      value: {
        ...(serving === undefined ? {} : { serving }),
        ...(step === undefined ? {} : { progress: { step } }),
        counters: Array.from({ length: counters }, () => ({})),
      },
    })),
  fc
    .record({
      seq,
      some: fc.array(digest, { maxLength: 3 }),
      count: mostly(fc.nat(3), fc.constantFrom(1023, 1024, 1025)),
    })
    .map(({ seq, some, count }) => ({
      case: "bucketRequest" as const,
      value: {
        seq,
        buckets: Array.from(
          { length: count },
          (_, i) => some[i] ?? { index: 1, hash: new Uint8Array(32) },
        ),
      },
    })),
  fc.constant({ case: "snapshotRequest" as const, value: {} }),
  fc
    .record({
      seq,
      class: fc.constantFrom(...CLASSES),
    })
    .map((value) => ({
      case: "nack" as const,
      value,
    })),
  fc.constant({ case: undefined }),
);

test("the checks by hand find fault with the same messages as the rules of the .proto file", () => {
  const validator = createValidator();
  let faults = 0;
  let runs = 0;
  fc.assert(
    fc.property(message, (init) => {
      const request = create(ConnectRequestSchema, { message: init });
      const byRules = validator.validate(ConnectRequestSchema, request);
      const byHand = flawOf(request);
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
