import type { JsonValue } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { encodeResource } from "../../src/model/encode.ts";
import {
  resourceFromJson,
  resourceToJson,
} from "../../src/model/resource-json.ts";
import { describeViolation } from "../../src/model/violation.ts";
import { arbitraryResource } from "../support/arbitrary-resource.ts";

// Random input takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

function problemsOf(json: JsonValue): string[] {
  const read = resourceFromJson(json);
  return read.ok ? [] : read.violations.map(describeViolation);
}

describe("the JSON form of a resource", () => {
  test("is read back as the same resource", () => {
    fc.assert(
      fc.property(arbitraryResource({ storable: true }), (resource) => {
        const read = resourceFromJson(
          JSON.parse(JSON.stringify(resourceToJson(resource))) as JsonValue,
        );
        if (!read.ok) throw new Error(JSON.stringify(read.violations));
        // By what is stored: JSON has no -0, and neither has the store.
        expect(encodeResource(read.resource)).toEqual(encodeResource(resource));
      }),
    );
  });

  test("has the names of the .proto files and is read in camel case too", () => {
    const read = resourceFromJson({
      keyauthCredential: { consumer: { name: "ann" }, key: "k" },
    });
    if (!read.ok) throw new Error("not read");
    expect(resourceToJson(read.resource)).toEqual({
      keyauth_credential: { consumer: { name: "ann" }, key: "k" },
    });
  });

  test("may have nulls for what is not set", () => {
    expect(
      problemsOf({
        service: { host: "a", path: null, tags: null },
        route: null,
      }),
    ).toEqual([]);
  });

  test.each<[JsonValue, string[]]>([
    ["x", ['must be an object, got "x"']],
    [[], ["must be an object, got []"]],
    [{ servic: {} }, ['servic: unknown field, did you mean "service"?']],
    [{ service: [] }, ["service: must be an object, got []"]],
    [
      { service: { host: "a" }, route: {} },
      ['route: cannot stand beside "service": only one of them'],
    ],
    [
      { service: { connectTimeout: 1, connect_timeout: 2 } },
      ["service: connect_timeout: is given twice, in two spellings"],
    ],
    [
      {
        service: {
          name: "pay",
          hosts: "a",
          port: "x",
          retries: 1.5,
          enabled: "no",
          tags: ["a", 1],
          client_certificate: { id: 1, foo: 2 },
        },
      },
      [
        'service "pay": hosts: unknown field, did you mean "host"?',
        'service "pay": port: must be a whole number from -2147483648 to 2147483647, got "x"',
        'service "pay": retries: must be a whole number from -2147483648 to 2147483647, got 1.5',
        'service "pay": enabled: must be true or false, got "no"',
        'service "pay": tags[1]: must be text, got 1',
        'service "pay": client_certificate.id: must be text, got 1',
        'service "pay": client_certificate.foo: unknown field',
      ],
    ],
    [
      { route: { headers: { a: ["x"], b: null }, sources: {} } },
      [
        'route: headers["a"]: must be an object, got ["x"]',
        'route: headers["b"]: must not be null',
        "route: sources: must be a list, got {}",
      ],
    ],
    [
      { consumer: { username: "ann", custom_id: 5 } },
      ['consumer "ann": custom_id: must be text, got 5'],
    ],
    [
      { route: { priority: -1 } },
      [
        "route: priority: must be a whole number from 0 to 18446744073709551615, got -1",
      ],
    ],
  ])("%j is refused with all that is wrong", (json, problems) => {
    expect(problemsOf(json)).toEqual(problems);
  });

  test("refuses a key __proto__, which would be lost", () => {
    expect(
      problemsOf(
        JSON.parse(
          '{"plugin": {"name": "mine", "config": {"a": {"__proto__": {}}}}}',
        ) as JsonValue,
      ),
    ).toEqual([
      'plugin "mine": config.a.__proto__: a key "__proto__" cannot be stored',
    ]);
    expect(
      problemsOf(
        JSON.parse(
          '{"route": {"headers": {"__proto__": {"values": []}}}}',
        ) as JsonValue,
      ),
    ).toEqual([
      'route: headers["__proto__"]: a key "__proto__" cannot be stored',
    ]);
  });

  test("never throws, whatever the JSON", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        problemsOf(a as JsonValue);
        problemsOf({ route: a as JsonValue });
        problemsOf({
          plugin: { config: a as JsonValue, tags: b as JsonValue },
        });
      }),
    );
  });
});
