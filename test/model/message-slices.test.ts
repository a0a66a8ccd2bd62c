import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  TransactRequestSchema,
  TransactResponseSchema,
} from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { decodeSlices, encodeSlices } from "../../src/model/message-slices.ts";
import {
  runSlices,
  SLICE_ENTRIES,
  type Slices,
} from "../../src/model/slices.ts";
import { arbitraryConfiguration } from "../support/arbitrary-configuration.ts";
import { putting } from "../support/admin-client.ts";
import { resource } from "../support/resources.ts";

/** What each step of some work has done. */
function stepsOf(work: Slices<unknown>): number[] {
  const steps: number[] = [];
  for (let step = work.next(); step.done !== true; step = work.next())
    steps.push(step.value);
  return steps;
}

const MANY = 10_000;

test("a message is the same, decoded or encoded in slices or in one step", () => {
  fc.assert(
    fc.property(
      arbitraryConfiguration,
      fc.string(),
      (configuration, message) => {
        // So many that it takes several slices.
        const all = Array.from({ length: 8 }, () => configuration).flat();
        const request = create(TransactRequestSchema, {
          message,
          dryRun: true,
          operations: all.map((one) => putting(one)),
        });
        const bytes = toBinary(TransactRequestSchema, request);
        const decoded = runSlices(decodeSlices(TransactRequestSchema, bytes));
        expect(toBinary(TransactRequestSchema, decoded)).toEqual(bytes);
        const encoded = Buffer.concat(
          runSlices(encodeSlices(TransactRequestSchema, request)),
        );
        expect(
          toBinary(
            TransactRequestSchema,
            fromBinary(TransactRequestSchema, encoded),
          ),
        ).toEqual(bytes);
      },
    ),
    { numRuns: 4 },
  );
});

test("fields that nobody knows are kept, wherever they stand", () => {
  const known = toBinary(
    TransactRequestSchema,
    create(TransactRequestSchema, { message: "m" }),
  );
  // Field 1000, a varint.
  const unknown = Uint8Array.of(0xc0, 0x3e, 0x07);
  const bytes = Buffer.concat([unknown, known, unknown]);
  const decoded = runSlices(decodeSlices(TransactRequestSchema, bytes));
  expect(decoded).toEqual(fromBinary(TransactRequestSchema, bytes));
  const encoded = runSlices(encodeSlices(TransactRequestSchema, decoded));
  expect(fromBinary(TransactRequestSchema, Buffer.concat(encoded))).toEqual(
    decoded,
  );
});

test("bytes that are cut off are refused", () => {
  const bytes = toBinary(
    TransactRequestSchema,
    create(TransactRequestSchema, { message: "message" }),
  );
  expect(() =>
    runSlices(decodeSlices(TransactRequestSchema, bytes.subarray(0, -1))),
  ).toThrow();
});

test("10,000 operations are decoded, and their changes encoded, a few at a time", () => {
  const route = resource("route", { name: "r", paths: ["/r"] });
  const request = create(TransactRequestSchema, {
    operations: Array.from({ length: MANY }, () => putting(route)),
  });
  const answer = create(TransactResponseSchema, {
    changes: Array.from({ length: MANY }, (_, i) => ({ name: `r${i}` })),
  });
  for (const work of [
    decodeSlices(
      TransactRequestSchema,
      toBinary(TransactRequestSchema, request),
    ),
    encodeSlices(TransactResponseSchema, answer),
  ]) {
    const steps = stepsOf(work);
    expect(steps.length).toBeGreaterThan(MANY / 64);
    expect(Math.max(...steps)).toBeLessThanOrEqual(SLICE_ENTRIES);
  }
});
