import { expect, test } from "vitest";
import { featuresOf, missingFeatures } from "../../src/model/features.ts";
import { resourceOf } from "../support/arbitrary-resource.ts";

test("a resource needs its kind, and an enabled plugin the plugin", () => {
  expect(featuresOf(resourceOf({ route: {} }))).toEqual([
    { name: "kind/route", version: 1 },
  ]);
  for (const name of ["key-auth", "mine"])
    expect(featuresOf(resourceOf({ plugin: { name } }))).toEqual([
      { name: "kind/plugin", version: 1 },
      { name: `plugin/${name}`, version: 1 },
    ]);
  expect(
    featuresOf(resourceOf({ plugin: { name: "key-auth", enabled: false } })),
  ).toEqual([{ name: "kind/plugin", version: 1 }]);
  expect(featuresOf(resourceOf({}))).toEqual([]);
});

test("a plugin that goes by consumer groups needs them, also where there is none", () => {
  const needs = (json: object) =>
    featuresOf(resourceOf({ plugin: { name: "mine", ...json } }))
      .map(({ name }) => name)
      .includes("kind/consumer_group");
  const group = { id: "00000000-0000-4000-8000-000000000001" };
  expect(needs({ consumer_group: group })).toBe(true);
  expect(needs({ config: { limit_by: "consumer-group" } })).toBe(true);
  expect(needs({ config: { include_consumer_groups: true } })).toBe(true);
  expect(needs({ config: { include_consumer_groups: false } })).toBe(false);
  expect(needs({ consumer_group: group, enabled: false })).toBe(false);
});

test("a feature is missing when it is not offered, or only in a lower version", () => {
  const needed = [
    { name: "a", version: 1 },
    { name: "b", version: 2 },
    { name: "c", version: 2 },
    { name: "d", version: 1 },
  ];
  const offered = [
    { name: "a", version: 3 },
    { name: "b", version: 1 },
    { name: "c", version: 2 },
    { name: "c", version: 1 },
  ];
  expect(missingFeatures(needed, offered)).toEqual([
    { name: "b", version: 2 },
    { name: "d", version: 1 },
  ]);
});
