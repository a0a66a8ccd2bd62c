import fc from "fast-check";
import { expect, test } from "vitest";
import type {
  PluginInstance,
  PluginScope,
} from "../../../src/dp/gateway/plugin-chains.ts";
import { chainsOf } from "../../support/chains.ts";

/** From the most specific down. */
const PRECEDENCE: readonly PluginScope[] = [
  { route: "r", service: "s", consumer: "c" },
  { route: "r", service: "s", consumerGroup: "g" },
  { route: "r", consumer: "c" },
  { service: "s", consumer: "c" },
  { route: "r", consumerGroup: "g" },
  { service: "s", consumerGroup: "g" },
  { route: "r", service: "s" },
  { consumer: "c" },
  { consumerGroup: "g" },
  { route: "r" },
  { service: "s" },
  {},
];
const SUBJECT = { route: "r", service: "s", consumer: "c", groups: ["g"] };

const plugin = (
  name: string,
  key: string,
  scope: PluginScope,
  priority = 1,
): PluginInstance => ({ key, name, priority, scope, handlers: {} });

const keysFor = (
  plugins: readonly PluginInstance[],
  subject = SUBJECT,
): string[] =>
  chainsOf(plugins)
    .chainOf(subject)
    .map(({ key }) => key);

test("of all plugins of a name the one with the most specific scope runs", () => {
  fc.assert(
    fc.property(
      fc.shuffledSubarray(
        PRECEDENCE.map((scope, i) => ({ scope, i })),
        { minLength: 1 },
      ),
      (some) => {
        const plugins = some.map(({ scope, i }) =>
          plugin("cors", String(i), scope),
        );
        const best = Math.min(...some.map(({ i }) => i));
        expect(keysFor(plugins)).toEqual([String(best)]);
      },
    ),
  );
});

test("of several groups the first one with a plugin decides, unless another's is more specific", () => {
  const plugins = [
    plugin("a", "z", { consumerGroup: "z" }),
    plugin("a", "g", { consumerGroup: "g" }),
    plugin("b", "z of s", { consumerGroup: "z", service: "s" }),
    plugin("b", "g of all", { consumerGroup: "g" }),
    plugin("c", "z alone", { consumerGroup: "z" }),
  ];
  const groups = ["g", "z"];
  expect(keysFor(plugins, { ...SUBJECT, groups })).toEqual([
    "g",
    "z of s",
    "z alone",
  ]);
  expect(keysFor(plugins, { ...SUBJECT, groups: ["z", "g"] })).toEqual([
    "z",
    "z of s",
    "z alone",
  ]);
  expect(keysFor(plugins, { ...SUBJECT, groups: [] })).toEqual([]);
});

test("plugins for another route, service, consumer or group do not run", () => {
  const plugins = [
    plugin("a", "1", { route: "x" }),
    plugin("a", "2", { service: "x" }),
    plugin("a", "3", { consumer: "x" }),
    plugin("a", "4", { route: "r", service: "x" }),
    plugin("a", "5", { route: "r", consumer: "x" }),
    plugin("a", "6", { service: "x", consumer: "c" }),
    plugin("a", "7", { consumerGroup: "x" }),
    plugin("a", "8", { route: "x", consumerGroup: "g" }),
  ];
  expect(keysFor(plugins)).toEqual([]);
});

test("without a consumer, those for a consumer do not run", () => {
  const plugins = [plugin("a", "1", { consumer: "c" }), plugin("a", "2", {})];
  expect(keysFor(plugins, { ...SUBJECT, consumer: "", groups: [] })).toEqual([
    "2",
  ]);
});

test("plugins run by priority, then by name", () => {
  const plugins = [
    plugin("b", "b", {}, 5),
    plugin("a", "a", {}, 5),
    plugin("z", "z", { route: "r" }, 9),
    plugin("c", "c", { consumer: "c" }, 7),
  ];
  expect(keysFor(plugins)).toEqual(["z", "c", "a", "b"]);
});
