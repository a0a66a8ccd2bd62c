import { describe, expect, test } from "vitest";
import { lint } from "../../../src/model/lint/lint.ts";
import { parse } from "../declarative/parsing.ts";

/** The findings of a file: line, rule, entity. */
function findings(text: string): string[] {
  const parsed = parse(text);
  expect(parsed.problems).toEqual([]);
  return lint(parsed, Date.UTC(2026, 0)).map(
    ({ line, rule, entity }) => `${line} ${rule} ${entity}`,
  );
}

/** Routes of one service. */
function routes(...lines: readonly string[]): string {
  return [
    "services:",
    "- {name: s, host: s.internal, routes: [",
    ...lines.map((line) => `  {${line}},`),
    "  ]}",
  ].join("\n");
}

describe("a route is shadowed", () => {
  test.each([
    [
      "by one that is the same and has a lower id",
      [
        "id: 00000000-0000-4000-8000-000000000001, name: a, paths: [/x]",
        "id: 00000000-0000-4000-8000-000000000002, name: b, paths: [/x]",
      ],
      ["4"],
    ],
    [
      "by an expression that matches all that begins with its path",
      ["name: a, paths: [/shop]", "name: b, paths: ['~/.*']"],
      ["3"],
    ],
    [
      "by a prefix of a route that has a longer path besides",
      [
        "name: a, paths: [/shop/cart]",
        "name: b, paths: [/shop, /a/very/long/path]",
      ],
      ["3"],
    ],
    [
      "by one with its host and method among others",
      [
        "id: 00000000-0000-4000-8000-000000000001, paths: [/x], hosts: [a.example, B.example], methods: [GET, PUT]",
        "id: 00000000-0000-4000-8000-000000000002, paths: [/x], hosts: [b.example], methods: [GET]",
      ],
      ["4"],
    ],
    [
      "not by one that wants more of a request",
      ["name: a, paths: [/x]", "name: b, paths: [/x], methods: [GET]"],
      [],
    ],
    [
      "not by an expression that ends before it does",
      ["name: a, paths: [/shop]", "name: b, paths: ['~/shop$']"],
      [],
    ],
    [
      "not by the prefix of a longer path",
      ["name: a, paths: [/x/y]", "name: b, paths: [/x]"],
      [],
    ],
    [
      "not by one of other headers or protocols",
      [
        "name: a, paths: [/x], headers: {v: ['1']}",
        "name: b, paths: [/x], headers: {v: ['2']}",
        "name: c, paths: [/y], protocols: [http]",
        "name: d, paths: [/y], protocols: [https]",
      ],
      [],
    ],
  ])("%s", (_, lines, expected) => {
    expect(
      findings(routes(...lines)).map((one) => one.split(" ").slice(0, 2)),
    ).toEqual(expected.map((line) => [line, "shadowed-route"]));
  });

  test("and it is said by which, and where that stands", () => {
    const [one] = lint(
      parse(routes("name: a, paths: [/shop]", "name: b, paths: ['~/.*']")),
      0,
    );
    expect(one).toMatchObject({
      file: "f.yml",
      line: 3,
      column: 3,
      entity: 'route "a"',
      message:
        'never gets a request: all that it matches goes to route "b" at f.yml:4:3, which comes first',
    });
  });
});

test("a path that looks like an expression is a finding without the ~, and not with it", () => {
  expect(findings(routes("name: a, paths: ['/a/(b|c)', '~/d/(e|f)']"))).toEqual(
    ['3 regex-without-tilde route "a"'],
  );
});

test("a plugin that never runs is found, one that does is not", () => {
  const found = findings(`
services:
- name: gone
  host: a.internal
  enabled: false
  plugins: [{name: cors}]
  routes: [{name: gone, paths: [/gone]}]
- name: covered
  host: a.internal
  plugins: [{name: cors}, {name: key-auth, enabled: false}]
  routes: [{name: covered, paths: [/covered], plugins: [{name: cors}]}]
- name: partly
  host: a.internal
  plugins:
  - {name: cors}
  - {name: rate-limiting, consumer: ann, config: {minute: 1}}
  - {name: bot-detection, protocols: [grpc]}
  routes:
  - {name: one, paths: [/one], plugins: [{name: cors}]}
  - {name: two, paths: [/two]}
consumers: [{username: ann}]
`);
  expect(found).toEqual([
    '6 unreachable-plugin plugin "cors"',
    '10 unreachable-plugin plugin "cors"',
    '16 unreachable-plugin plugin "rate-limiting"',
    '17 unreachable-plugin plugin "bot-detection"',
  ]);
});

test("what nothing uses is found", () => {
  expect(
    findings(`
services:
- {name: lonely, host: used.internal}
routes:
- {name: nowhere, paths: [/nowhere]}
- {name: ends, paths: [/ends], plugins: [{name: request-termination}]}
upstreams:
- {name: used.internal}
- {name: unused.internal, targets: [{target: 10.0.0.1}]}
consumers:
- username: ann
  keyauth_credentials: [{key: a}, {key: b}]
plugins:
- {name: key-auth, enabled: false}
- {name: nobody-knows-it}
`),
  ).toEqual([
    '3 service-without-routes service "lonely"',
    '5 route-without-service route "nowhere"',
    '8 upstream-without-targets upstream "used.internal"',
    '9 unused-upstream upstream "unused.internal"',
    "12 unused-credential keyauth_credential #1",
    '15 unknown-plugin plugin "nobody-knows-it"',
  ]);
});

test("a configuration that means what it says has no findings", () => {
  expect(
    findings(`
services:
- name: pay
  host: bank
  routes:
  - {name: pay, paths: [/pay], plugins: [{name: key-auth}]}
  - {name: status, paths: ['~/pay/status$']}
upstreams: [{name: bank, targets: [{target: 10.0.0.1}]}]
consumers: [{username: ann, keyauth_credentials: [{key: a}], plugins: [{name: rate-limiting, config: {minute: 5}}]}]
`),
  ).toEqual([]);
});
