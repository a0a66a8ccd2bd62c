import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  RouteSchema,
  type Route,
} from "../../../../src/gen/holdfast/config/v1/route_pb.js";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { compileRegex } from "../../../../src/model/regex.ts";
import { runSlices } from "../../../../src/model/slices.ts";
import { routeDraft } from "../../../../src/dp/gateway/compile/route-draft.ts";
import type { RouteRequest } from "../../../../src/dp/gateway/router/conditions.ts";
import { Router } from "../../../../src/dp/gateway/router/router.ts";
import type { ServedRoute } from "../../../../src/dp/gateway/runtime.ts";
import { id } from "../../../support/resources.ts";

type Fields = MessageInitShape<typeof RouteSchema>;

function routerOf(routes: readonly Route[]) {
  const served = routes.map((route) => routeDraft(route).route);
  return runSlices(
    Router.empty<ServedRoute>().changed(
      served.map((after) => ({ before: undefined, after })),
    ),
  );
}

function routeOf(number: number, fields: Fields): Route {
  return create(RouteSchema, {
    id: id(number),
    protocols: ["http", "https"],
    ...fields,
  });
}

interface Asked {
  readonly method?: string;
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
  /** The server name of a request over TLS; absent: over plain http. Empty: none was sent. */
  readonly sni?: string;
}

function requestOf({
  method = "GET",
  host = "",
  port = 80,
  path = "/",
  headers = {},
  sni,
}: Asked): RouteRequest {
  return {
    method,
    host,
    port,
    path,
    scheme: sni === undefined ? "http" : "https",
    sni: sni === "" ? undefined : sni,
    header: (name) => headers[name] ?? [],
  };
}

/** The number of the route that is found; 0 for none. */
function found(routes: readonly Route[], asked: Asked): number {
  const match = routerOf(routes).match(requestOf(asked));
  return match === undefined ? 0 : parseInt(match.route.id.slice(-12), 16);
}

describe("matching", () => {
  test.each<[what: string, route: Fields, asked: Asked, matches: boolean]>([
    ["an exact host", { hosts: ["a.com"] }, { host: "a.com" }, true],
    ["another host", { hosts: ["a.com"] }, { host: "b.com" }, false],
    ["no host", { hosts: ["a.com"] }, { host: "" }, false],
    [
      "an upper-case host of the configuration",
      { hosts: ["A.com"] },
      { host: "a.com" },
      true,
    ],
    [
      "a host on any port",
      { hosts: ["a.com"] },
      { host: "a.com", port: 8000 },
      true,
    ],
    [
      "a host on its port",
      { hosts: ["a.com:8000"] },
      { host: "a.com", port: 8000 },
      true,
    ],
    [
      "a host on another port",
      { hosts: ["a.com:8000"] },
      { host: "a.com", port: 80 },
      false,
    ],
    [
      "the first label of a wildcard",
      { hosts: ["*.a.com"] },
      { host: "x.a.com" },
      true,
    ],
    [
      "several labels of a wildcard",
      { hosts: ["*.a.com"] },
      { host: "x.y.a.com" },
      true,
    ],
    [
      "a wildcard without its label",
      { hosts: ["*.a.com"] },
      { host: "a.com" },
      false,
    ],
    [
      "a wildcard with an empty label",
      { hosts: ["*.a.com"] },
      { host: ".a.com" },
      false,
    ],
    [
      "the last label of a wildcard",
      { hosts: ["a.*"] },
      { host: "a.org" },
      true,
    ],
    [
      "several last labels of a wildcard",
      { hosts: ["a.*"] },
      { host: "a.co.uk" },
      true,
    ],
    [
      "a wildcard and its port",
      { hosts: ["*.a.com:81"] },
      { host: "x.a.com", port: 81 },
      true,
    ],
    [
      "a wildcard and another port",
      { hosts: ["*.a.com:81"] },
      { host: "x.a.com", port: 82 },
      false,
    ],
    ["an IPv6 host", { hosts: ["[::1]"] }, { host: "[::1]" }, true],
    [
      "one of two hosts",
      { hosts: ["a.com", "b.com"] },
      { host: "b.com" },
      true,
    ],
    ["a path", { paths: ["/a"] }, { path: "/a" }, true],
    [
      "the beginning of a path, in the middle of a segment",
      { paths: ["/a"] },
      { path: "/ab" },
      true,
    ],
    ["a path in another case", { paths: ["/a"] }, { path: "/A" }, false],
    ["one of two paths", { paths: ["/a", "/b"] }, { path: "/b/c" }, true],
    [
      "an expression at the start",
      { paths: ["~/a\\d+"] },
      { path: "/a12/x" },
      true,
    ],
    [
      "an expression not at the start",
      { paths: ["~/b\\d"] },
      { path: "/a/b1" },
      false,
    ],
    [
      "an expression with an alternative",
      { paths: ["~/a|/b"] },
      { path: "/b" },
      true,
    ],
    [
      "an expression with an optional character",
      { paths: ["~/ab?/c"] },
      { path: "/a/c" },
      true,
    ],
    [
      "an expression without regard to case",
      { paths: ["~/(?i)abc"] },
      { path: "/ABC" },
      true,
    ],
    [
      "an expression that begins with a class",
      { paths: ["~/[ab]|c"] },
      { path: "/b" },
      true,
    ],
    [
      "an expression that begins with an anchor",
      { paths: ["~^/x"].map((p) => p.replace("~^", "~")) },
      { path: "/x" },
      true,
    ],
    ["a method", { methods: ["GET", "PUT"] }, { method: "PUT" }, true],
    ["another method", { methods: ["GET"] }, { method: "POST" }, false],
    [
      "a header's value in another case",
      { headers: { "X-V": { values: ["One"] } } },
      { headers: { "x-v": ["oNE"] } },
      true,
    ],
    [
      "one of a header's values",
      { headers: { v: { values: ["1", "2"] } } },
      { headers: { v: ["2"] } },
      true,
    ],
    [
      "one of the values that were sent",
      { headers: { v: { values: ["2"] } } },
      { headers: { v: ["1", "2"] } },
      true,
    ],
    [
      "another value",
      { headers: { v: { values: ["1"] } } },
      { headers: { v: ["3"] } },
      false,
    ],
    [
      "a header that is missing",
      { headers: { v: { values: ["1"] }, w: { values: ["1"] } } },
      { headers: { v: ["1"] } },
      false,
    ],
    [
      "an expression for a header",
      { headers: { v: { values: ["~*b[0-9]$"] } } },
      { headers: { v: ["aB1"] } },
      true,
    ],
    [
      "an expression that is not the header's sole value",
      { headers: { v: { values: ["~*b.", "x"] } } },
      { headers: { v: ["b1"] } },
      false,
    ],
    [
      "such a value as text",
      { headers: { v: { values: ["~*b.", "x"] } } },
      { headers: { v: ["~*b."] } },
      true,
    ],
    [
      "server names, which mean nothing on plain http",
      { snis: ["a.com"], paths: ["/"] },
      {},
      true,
    ],
    [
      "a server name",
      { snis: ["a.com", "b.com"], paths: ["/"] },
      { sni: "b.com" },
      true,
    ],
    [
      "another server name",
      { snis: ["a.com"], paths: ["/"] },
      { sni: "c.com" },
      false,
    ],
    ["no server name", { snis: ["a.com"], paths: ["/"] }, { sni: "" }, false],
    [
      "a server name that nobody asks about",
      { paths: ["/"] },
      { sni: "c.com" },
      true,
    ],
  ])("%s", (_what, route, asked, matches) => {
    expect(found([routeOf(1, route)], asked)).toBe(matches ? 1 : 0);
  });

  test("says what of the path matched, and the groups of an expression", () => {
    const router = routerOf([
      routeOf(1, { paths: ["~/u/(?P<user>\\w+)/(x)?"] }),
      routeOf(2, { paths: ["/u", "/u/list"] }),
    ]);
    expect(router.match(requestOf({ path: "/u/ann/y" }))?.path).toEqual({
      prefix: "/u/ann/",
      groups: ["ann", undefined],
      named: new Map([["user", "ann"]]),
    });
    expect(router.match(requestOf({ path: "/u/list" }))?.path.prefix).toBe(
      "/u/list",
    );
  });
});

describe("the order of priority", () => {
  test.each<[what: string, first: Fields, second: Fields, asked: Asked]>([
    [
      "more kinds of attributes",
      { paths: ["/"], methods: ["GET"] },
      { hosts: ["a.com"] },
      { host: "a.com" },
    ],
    [
      "server names count as a kind",
      { paths: ["/"], snis: ["a.com"] },
      { hosts: ["a.com"] },
      { host: "a.com" },
    ],
    [
      "hosts before headers",
      { hosts: ["a.com"] },
      { headers: { v: { values: ["1"] } } },
      { host: "a.com", headers: { v: ["1"] } },
    ],
    [
      "headers before paths",
      { headers: { v: { values: ["1"] } } },
      { paths: ["/a"] },
      { path: "/a", headers: { v: ["1"] } },
    ],
    ["paths before methods", { paths: ["/"] }, { methods: ["GET"] }, {}],
    [
      "a wildcard with a port before plain hosts",
      { hosts: ["*.a.com:80"] },
      { hosts: ["x.a.com"] },
      { host: "x.a.com" },
    ],
    [
      "plain hosts before wildcards",
      { hosts: ["x.a.com"] },
      { hosts: ["*.a.com"] },
      { host: "x.a.com" },
    ],
    [
      "hosts of both sorts are not plain",
      { hosts: ["x.a.com"] },
      { hosts: ["x.a.com", "*.b.com"], paths: [] },
      { host: "x.a.com" },
    ],
    [
      "expressions before prefixes",
      { paths: ["~/a"] },
      { paths: ["/a/long"] },
      { path: "/a/long" },
    ],
    [
      "more headers",
      { headers: { v: { values: ["1"] }, w: { values: ["1"] } } },
      { headers: { v: { values: ["1"] } } },
      { headers: { v: ["1"], w: ["1"] } },
    ],
    [
      "a higher regex_priority",
      { paths: ["~/a"], regexPriority: 1 },
      { paths: ["~/a.*"] },
      { path: "/a" },
    ],
    [
      "regex_priority means nothing for prefixes",
      { paths: ["/a/b"] },
      { paths: ["/a"], regexPriority: 9 },
      { path: "/a/b" },
    ],
    [
      "the longer path",
      { paths: ["/a/b"] },
      { paths: ["/a"] },
      { path: "/a/b/c" },
    ],
    [
      "the longest of a route's paths, even one that does not match",
      { paths: ["/a", "/a/very/long"] },
      { paths: ["/a/b"] },
      { path: "/a/b" },
    ],
    [
      "the longer expression",
      { paths: ["~/a.*"] },
      { paths: ["~/a"] },
      { path: "/a" },
    ],
    ["the lower id", { paths: ["/a"] }, { paths: ["/a"] }, { path: "/a" }],
  ])("%s", (_what, first, second, asked) => {
    // Whatever the order of the configuration, and but for the last case whichever has the lower id.
    expect(found([routeOf(1, first), routeOf(2, second)], asked)).toBe(1);
    expect(found([routeOf(2, second), routeOf(1, first)], asked)).toBe(1);
    const swapped = found([routeOf(1, second), routeOf(2, first)], asked);
    expect(swapped).toBe(_what === "the lower id" ? 1 : 2);
  });
});

/** The same rules, written down again without any index: all routes that match, the first by the rules in words. */
function naive(
  routes: readonly Route[],
  request: RouteRequest,
): string | undefined {
  const hostMatches = (text: string): boolean => {
    const [, name = "", port] =
      /^(.*?)(?::(\d+))?$/.exec(text.toLowerCase()) ?? [];
    if (port !== undefined && Number(port) !== request.port) return false;
    if (name.startsWith("*"))
      return (
        request.host.endsWith(name.slice(1)) && request.host !== name.slice(1)
      );
    if (name.endsWith("*"))
      return (
        request.host.startsWith(name.slice(0, -1)) &&
        request.host !== name.slice(0, -1)
      );
    return request.host === name;
  };
  const pathMatches = (path: string): boolean => {
    if (!path.startsWith("~")) return request.path.startsWith(path);
    const compiled = compileRegex(path.slice(1));
    return compiled.ok && compiled.regex.matchStart(request.path) !== undefined;
  };
  const any = (
    list: readonly string[],
    test: (item: string) => boolean,
  ): boolean => list.length === 0 || list.some(test);
  const matching = routes.filter(
    (route) =>
      any(route.methods, (m) => m === request.method) &&
      any(route.hosts, hostMatches) &&
      any(route.paths, pathMatches) &&
      (request.scheme === "http" ||
        any(route.snis, (name) => name === request.sni)) &&
      Object.entries(route.headers).every(([name, { values }]) =>
        request
          .header(name.toLowerCase())
          .some((sent) =>
            values.some((v) => v.toLowerCase() === sent.toLowerCase()),
          ),
      ),
  );
  const kinds = (r: Route): boolean[] => [
    r.hosts.length > 0,
    Object.keys(r.headers).length > 0,
    r.paths.length > 0,
    r.methods.length > 0,
    r.snis.length > 0,
  ];
  const isRegex = (r: Route): boolean => r.paths.some((p) => p.startsWith("~"));
  const keysOf = (r: Route): (number | string)[] => [
    -kinds(r).filter(Boolean).length,
    ...kinds(r).map((given) => (given ? 0 : 1)),
    r.hosts.some((h) => h.includes("*") && /:\d+$/.test(h)) ? 0 : 1,
    r.hosts.length > 0 && r.hosts.every((h) => !h.includes("*")) ? 0 : 1,
    isRegex(r) ? 0 : 1,
    -Object.keys(r.headers).length,
    isRegex(r) ? -r.regexPriority : 0,
    -Math.max(0, ...r.paths.map((p) => p.replace(/^~/, "").length)),
    r.id,
  ];
  const [best] = [...matching].sort((a, b) => {
    const [x, y] = [keysOf(a), keysOf(b)];
    const i = x.findIndex((key, at) => key !== y[at]);
    return (x[i] ?? "") < (y[i] ?? "") ? -1 : 1;
  });
  return best?.id;
}

const hosts = ["a.com", "x.a.com", "y.x.a.com", "b.org", "a.org"];
const patterns = [
  ...hosts,
  "*.a.com",
  "*.x.a.com",
  "a.*",
  "x.*",
  "a.com:80",
  "*.a.com:8000",
  "a.*:80",
];
const paths = [
  "/",
  "/a",
  "/ab",
  "/a/b",
  "/a/b/c",
  "/b",
  "/b/1",
  "/b/12/x",
  "/c.d",
];
const pathPatterns = [
  ...paths,
  "~/a",
  "~/b/\\d+",
  "~/b/\\d",
  "~/a|/b",
  "~/(a|c)",
  "~/ab?",
  "~/c\\.d",
  "~/c.d",
  "~/.*",
  "~/a/[bc]",
  "~/b{0,1}",
  "~/a+",
  "~/[a-z]+/b",
  "~/\\w+/12",
  "~/[a-z]/(?i)B/C",
  "~/.*/x$",
];

const subset = (items: readonly string[], maxLength = 2) =>
  fc.uniqueArray(fc.constantFrom(...items), { maxLength });
const values = fc.dictionary(
  fc.constantFrom("v", "W"),
  fc.record({
    values: fc.uniqueArray(fc.constantFrom("1", "2", "X"), {
      minLength: 1,
      maxLength: 2,
    }),
  }),
  { maxKeys: 2 },
);

const routeFields = fc.record({
  hosts: subset(patterns),
  paths: subset(pathPatterns, 3),
  methods: subset(["GET", "POST"]),
  headers: values,
  snis: subset(["a.com"]),
  regexPriority: fc.integer({ min: 0, max: 2 }),
});

const requests = fc.record({
  host: fc.constantFrom("", ...hosts),
  port: fc.constantFrom(80, 8000),
  path: fc.constantFrom(...paths, "/zzz", "/b/7/y", "/abc"),
  method: fc.constantFrom("GET", "POST"),
  sni: fc.constantFrom("", "a.com", "b.com"),
  tls: fc.boolean(),
  headers: fc.dictionary(
    fc.constantFrom("v", "w"),
    fc.array(fc.constantFrom("1", "2", "x"), { minLength: 1, maxLength: 2 }),
  ),
});

test("the router agrees with walking all routes, for any routes and requests", () => {
  fc.assert(
    fc.property(
      fc.array(routeFields, { maxLength: 25 }),
      fc.array(requests, { minLength: 1, maxLength: 10 }),
      (fields, asked) => {
        const routes = fields.map((f, i) => routeOf((i * 7919) % 1009, f));
        const router = routerOf(routes);
        for (const one of asked) {
          const { sni, tls, ...plain } = one;
          const request = requestOf(tls ? { ...plain, sni } : plain);
          expect(router.match(request)?.route.id).toBe(naive(routes, request));
        }
      },
    ),
    { numRuns: 200 },
  );
}, 30_000);
