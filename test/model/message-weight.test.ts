import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { expect, test } from "vitest";
import { TransactRequestSchema } from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { weightSlices, type Weight } from "../../src/model/message-weight.ts";
import { runSlices } from "../../src/model/slices.ts";
import { putting } from "../support/admin-client.ts";
import { resource } from "../support/resources.ts";

const weigh = (bytes: Uint8Array): Weight =>
  runSlices(weightSlices(TransactRequestSchema, bytes));

const request = (...tags: string[]): Uint8Array =>
  toBinary(
    TransactRequestSchema,
    create(TransactRequestSchema, {
      workspace: "w",
      operations: [
        putting(resource("service", { name: "a", host: "a.example", tags })),
      ],
    }),
  );

/** A field with these bytes. */
const field = (number: number, bytes: Uint8Array): Uint8Array =>
  new BinaryWriter()
    .uint32((number << 3) | 2)
    .bytes(bytes)
    .finish();

test("what a message holds is counted where it stands, however deep", () => {
  // The operation, its resource and the service in it.
  expect(weigh(request())).toEqual({
    lists: new Map([["operations", 1]]),
    objects: 3,
  });
  expect(weigh(request("x", "y")).objects).toBe(5);
  expect(weigh(Buffer.concat([request(), request()]))).toEqual({
    lists: new Map([["operations", 2]]),
    objects: 6,
  });
});

test("maps, what is in them, and fields that nobody knows are counted", () => {
  const plugin = (config: Record<string, unknown>): Uint8Array =>
    toBinary(
      TransactRequestSchema,
      create(TransactRequestSchema, {
        operations: [
          putting(
            resource("plugin", { name: "cors", config: config as never }),
          ),
        ],
      }),
    );
  const empty = weigh(plugin({})).objects;
  // An entry and its value; the value of a list has the list and what is in it.
  expect(weigh(plugin({ a: 1 })).objects).toBe(empty + 2);
  expect(weigh(plugin({ a: [1, 2] })).objects).toBe(empty + 5);
  expect(weigh(field(1000, new Uint8Array(100))).objects).toBe(1);
  expect(weigh(field(2, field(1000, new Uint8Array()))).objects).toBe(2);
});

test("a field that is longer than what it is in is no message", () => {
  expect(() => weigh(Uint8Array.of(0x12, 5))).toThrow(
    /5 bytes, and 0 are left/,
  );
  expect(() => weigh(Uint8Array.of(0x12, 2, 0x0a, 9, 0, 0))).toThrow(
    /9 bytes, and 0 are left/,
  );
});

test("messages within messages without an end are no message", () => {
  let value: Uint8Array = new Uint8Array();
  for (let i = 0; i < 120; i++)
    // A google.protobuf.Value with a list of one more.
    value = field(6, field(1, value));
  const put = field(2, field(1, field(6, field(4, field(1, field(2, value))))));
  expect(() => weigh(put)).toThrow(/deeper than 100/);
});
