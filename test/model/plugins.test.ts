import { describe, expect, test } from "vitest";
import {
  CorsConfigSchema,
  KeyAuthConfigSchema,
} from "../../src/gen/holdfast/plugin/v1/plugins_pb.js";
import {
  knownPlugin,
  parseKnownConfig,
  readPluginConfig,
} from "../../src/model/plugins.ts";
import { isRegexOrigin } from "../../src/model/plugins/cors.ts";
import { lines, problemsOf } from "../support/problems.ts";

type Config = Parameters<typeof readPluginConfig>[1];

function problems(name: string, config: Config): string[] {
  const read = readPluginConfig(name, config);
  return read.ok
    ? []
    : read.violations.map(({ field, reason }) => `${field}: ${reason}`);
}

describe("the configuration of a known plugin", () => {
  test.each<[string, Config]>([
    [
      "key-auth",
      {
        key_names: ["apikey"],
        hide_credentials: false,
        anonymous: "",
        key_in_header: true,
        key_in_query: true,
        key_in_body: false,
        run_on_preflight: true,
        realm: "",
      },
    ],
    [
      "cors",
      {
        origins: [],
        headers: [],
        methods: [
          "GET",
          "HEAD",
          "PUT",
          "PATCH",
          "POST",
          "DELETE",
          "OPTIONS",
          "TRACE",
          "CONNECT",
        ],
        exposed_headers: [],
        credentials: false,
        preflight_continue: false,
        private_network: false,
        allow_origin_absent: true,
      },
    ],
    [
      "request-termination",
      {
        status_code: 503,
        message: "",
        body: "",
        content_type: "",
        echo: false,
        trigger: "",
      },
    ],
    [
      "correlation-id",
      {
        header_name: "Kong-Request-ID",
        generator: "uuid#counter",
        echo_downstream: false,
      },
    ],
  ])(
    "%s: is written out with all its defaults, once and for all",
    (name, config) => {
      expect(readPluginConfig(name, {})).toEqual({ ok: true, config });
      expect(readPluginConfig(name, config)).toEqual({ ok: true, config });
    },
  );

  test("may have nulls for what is not set, and camel case", () => {
    const read = readPluginConfig("cors", {
      max_age: null,
      exposedHeaders: ["x"],
    });
    expect(read).toMatchObject({
      ok: true,
      config: { exposed_headers: ["x"] },
    });
    expect(read).not.toHaveProperty("config.max_age");
  });

  test("is refused with all that is wrong", () => {
    expect(
      problems("cors", {
        origin: [],
        max_age: "x",
        credentials: 1,
        methods: "GET",
      }),
    ).toEqual([
      'config.origin: unknown field, did you mean "origins"?',
      'config.max_age: must be a number, got "x"',
      "config.credentials: must be true or false, got 1",
      'config.methods: must be a list, got "GET"',
    ]);
    expect(
      problems("request-termination", {
        status_code: 99,
        message: "m",
        body: "b",
      }),
    ).toEqual([
      "config.status_code: must be from 100 to 599, got 99",
      "config.message: not together with body or content_type",
    ]);
    expect(problems("cors", { methods: ["GOT"] })).toEqual(
      lines("config.methods[0]: must be one of GET"),
    );
    expect(problems("key-auth", { key_names: ["a b"] })).toEqual(
      lines("config.key_names[0]: must be letters"),
    );
    expect(problems("correlation-id", { header_name: "a b" })).toEqual(
      lines("config.header_name: must be the name of a header"),
    );
  });

  test("of cors has origins that compile when they are regular expressions", () => {
    expect(
      problems("cors", {
        origins: ["*", "https://a.example:80", "^(", "(?=a)"],
      }),
    ).toEqual([
      expect.stringContaining("config.origins[2]: "),
      expect.stringContaining("look-around"),
    ]);
  });

  test("comes typed for the data plane", () => {
    expect(
      parseKnownConfig(KeyAuthConfigSchema, { keyNames: ["k"] }),
    ).toMatchObject({ keyNames: ["k"], keyInHeader: true });
    expect(() => parseKnownConfig(CorsConfigSchema, { x: 1 })).toThrow(
      "config.x: unknown field",
    );
  });
});

test("the configuration of an unknown plugin is taken as it is", () => {
  expect(knownPlugin("mine")).toBeUndefined();
  expect(readPluginConfig("mine", { a: 1 })).toEqual({
    ok: true,
    config: { a: 1 },
  });
});

test("an origin is a regular expression when it has what no origin has", () => {
  for (const origin of [
    "https://a.example:80",
    "a.example",
    "*",
    "http://[::1]",
  ])
    expect([origin, isRegexOrigin(origin)]).toEqual([origin, false]);
  for (const origin of [".*", "^https://a", "a|b", "*.a.example"])
    expect([origin, isRegexOrigin(origin)]).toEqual([origin, true]);
});

test("a plugin that finds the consumer cannot be limited to one", () => {
  for (const name of ["key-auth", "cors"])
    expect(problemsOf({ plugin: { name, consumer: { name: "ann" } } })).toEqual(
      lines("consumer: "),
    );
  expect(
    problemsOf({
      plugin: { name: "correlation-id", consumer: { name: "ann" } },
    }),
  ).toEqual([]);
});
