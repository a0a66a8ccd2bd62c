import fc from "fast-check";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { id, resource } from "./resources.ts";

/** A field that the data plane reads with a parser of its own, and texts that are about right for it. */
export interface NearlyValid {
  /** What it is called in violations: "route.paths". */
  readonly field: string;
  readonly texts: fc.Arbitrary<string>;
  /** Resources with such a text in the field, everything else being right; the number keeps them apart. */
  readonly holding: (text: string, number: number) => readonly Resource[];
}

/** Parts, one after the other: right by themselves or broken, so that about half of what they make is. */
const made = (good: readonly string[], bad: readonly string[]) =>
  fc
    .array(
      fc.oneof(
        { weight: 6, arbitrary: fc.constantFrom(...good) },
        { weight: 1, arbitrary: fc.constantFrom(...bad) },
      ),
      { minLength: 1, maxLength: 4 },
    )
    .map((parts) => parts.join(""));

const expressions = made(
  [
    "a",
    "v1",
    "/x",
    "\\d+",
    "[a-z]*",
    "(b|c)",
    "(?:d)?",
    "e{2,3}",
    "(?i)f",
    ".",
  ],
  ["(", ")", "[", "\\", "*", "{2,1}", "e{1001}", "(?=x)", "(?<!x)", "\\1", "["],
);

const hosts = made(
  ["a", "b-c", ".d", ".example", "0", "x_y"],
  ["*", ".*", "*.", "..", ":0", ":80", ":99999", "-", "ä", " ", "[", "[::1]"],
);

const targets = made(
  ["10.0.0.1", "a.example", "b", "-c", "0"],
  [":", ":0", ":81", ":70000", "[", "]", "::1", "/", " ", "_", "..", "300.0"],
);

const addresses = made(
  ["10.0.0.1", "10.0.0.0/8", "::1", "fe80::/10"],
  ["/", "/33", "/129", ".1", ":", "x", " ", "256"],
);

const templates = made(
  ["a", "$(headers.x)", '$(query_params["y"])', "$(uri_captures[1])", "$$"],
  ["$(", "$()", "$(headers)", "$(os.exit())", "$(headers.x", '$(" or 1)'],
);

const addressesOfLogs = made(
  ["http://a.example", "/x", "?y=1"],
  ["ftp://b", "://", " ", ":99999", "[", "%zz", "http://"],
);

const route = (number: number, fields: object) =>
  resource("route", {
    id: id(10_000 + number),
    paths: ["/"],
    ...fields,
  });

/** A plugin on a route of its own: two of one name cannot stand at the same place. */
const plugin = (name: string, config: (text: string) => object) =>
  ((text, number) => [
    route(number, {}),
    resource("plugin", {
      name,
      route: { id: id(10_000 + number) },
      config: { ...config(text) },
    }),
  ]) satisfies NearlyValid["holding"];

/** Everything in a configuration that only a parser can tell right from wrong. */
export const NEARLY_VALID: readonly NearlyValid[] = [
  {
    field: "route.paths",
    texts: expressions.map((text) => `~/${text}`),
    holding: (text, n) => [route(n, { paths: [text] })],
  },
  {
    field: "route.headers",
    texts: expressions.map((text) => `~*${text}`),
    holding: (text, n) => [route(n, { headers: { x: { values: [text] } } })],
  },
  {
    field: "route.hosts",
    texts: hosts,
    holding: (text, n) => [route(n, { hosts: [text] })],
  },
  {
    field: "target.target",
    texts: targets,
    holding: (text, n) => [
      resource("upstream", { id: id(10_000 + n), name: `u${n}` }),
      resource("target", { target: text, upstream: { id: id(10_000 + n) } }),
    ],
  },
  {
    field: "plugin.config.origins",
    texts: expressions,
    holding: plugin("cors", (text) => ({ origins: ["https://a", text] })),
  },
  {
    field: "plugin.config.deny",
    texts: expressions,
    holding: plugin("bot-detection", (text) => ({ deny: [text] })),
  },
  {
    field: "plugin.config.allow",
    texts: addresses,
    holding: plugin("ip-restriction", (text) => ({ allow: [text] })),
  },
  {
    field: "plugin.config.add.headers",
    texts: templates,
    holding: plugin("request-transformer", (text) => ({
      add: { headers: [`x:${text}`] },
    })),
  },
  {
    field: "plugin.config.http_endpoint",
    texts: addressesOfLogs,
    holding: plugin("http-log", (text) => ({ http_endpoint: text })),
  },
];
