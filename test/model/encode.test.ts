import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import {
  ResourceSchema,
  type Resource,
} from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { encodeResource } from "../../src/model/encode.ts";
import { arbitraryResource } from "../support/arbitrary-resource.ts";

// Random input takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

/** The same value with the keys of every map and Struct put in the other way round. */
function reversed<T>(value: T): T {
  if (Array.isArray(value)) return value.map(reversed) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(
    ([key, item]) => [key, reversed(item)] as const,
  );
  return Object.fromEntries(
    "$typeName" in value ? entries : entries.toReversed(),
  ) as T;
}

function plugin(config: Record<string, number>): Resource {
  return create(ResourceSchema, {
    kind: { case: "plugin", value: { name: "x", config } },
  });
}

describe("the encoding of a resource", () => {
  test("is read back as an equal message", () => {
    fc.assert(
      fc.property(arbitraryResource({ storable: true }), (resource) => {
        const read = fromBinary(ResourceSchema, encodeResource(resource));
        expect(equals(ResourceSchema, read, resource)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test("is the same whatever the order in which maps and Structs were filled", () => {
    fc.assert(
      fc.property(arbitraryResource({ storable: true }), (resource) => {
        const bytes = encodeResource(resource);
        expect(bytes).toEqual(encodeResource(reversed(resource)));
        // Reading gives yet another order: that of the bytes.
        const read = fromBinary(ResourceSchema, bytes);
        expect(encodeResource(read)).toEqual(bytes);
      }),
      { numRuns: 200 },
    );
  });

  test("orders keys by their UTF-8 bytes: not as numbers and not by UTF-16 units", () => {
    const keys = ["10", "2", "a", "\uffff", "\u{1f600}"];
    const config = Object.fromEntries(keys.map((key, i) => [key, i]));
    const bytes = Buffer.from(encodeResource(plugin(config)));
    const places = keys.map((key) => {
      const text = Buffer.from(key, "utf8");
      // As the first field of a map's entry.
      return bytes.indexOf(Buffer.from([0x0a, text.length, ...text]));
    });
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(bytes).toEqual(
      Buffer.from(encodeResource(plugin(reversed(config)))),
    );
  });

  test("writes -0 as 0", () => {
    expect(encodeResource(plugin({ a: -0 }))).toEqual(
      encodeResource(plugin({ a: 0 })),
    );
    const upstream = (threshold: number): Resource =>
      create(ResourceSchema, {
        kind: {
          case: "upstream",
          value: { name: "u", healthchecks: { threshold } },
        },
      });
    expect(encodeResource(upstream(-0))).toEqual(encodeResource(upstream(0)));
  });

  test("refuses what it could not write down whole", () => {
    expect(() => encodeResource(plugin({ a: NaN }))).toThrow("NaN");
    expect(() => encodeResource(plugin({ a: Infinity }))).toThrow("Infinity");
    const newer = fromBinary(
      ResourceSchema,
      Buffer.concat([
        toBinary(ResourceSchema, plugin({})),
        // Field 1000, a varint.
        Buffer.from([0xc0, 0x3e, 0x01]),
      ]),
    );
    expect(() => encodeResource(newer)).toThrow("unknown fields");
  });
});

test("a text that begins with a byte order mark is read back with it", () => {
  const marked = create(ResourceSchema, {
    kind: {
      case: "consumer",
      value: { username: "\ufeffann", tags: ["\ufeff"] },
    },
  });
  const read = fromBinary(ResourceSchema, encodeResource(marked));
  expect(read).toEqual(marked);
  expect(fromBinary(ResourceSchema, toBinary(ResourceSchema, marked))).toEqual(
    marked,
  );
});
