import { create, toBinary } from "@bufbuild/protobuf";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { PLUGINS } from "../../src/dp/plugins/registry.ts";
import {
  FeatureSchema,
  HelloSchema,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { KINDS } from "../../src/model/kinds.ts";
import { abridged, EDITION, spelledOut } from "../../src/sync/editions.ts";
import { BUCKET_BATCH, has } from "../../src/sync/features.ts";

/** What a data plane of this build can do. */
const OWN = [
  ...KINDS.map((kind) => ({ name: `kind/${kind}`, version: 1 })),
  ...[...PLUGINS.values()].map(({ name, version }) => ({
    name: `plugin/${name}`,
    version,
  })),
  { name: BUCKET_BATCH, version: 1 },
];

function received(said: readonly { name: string; version: number }[]) {
  return spelledOut(said.map((feature) => create(FeatureSchema, feature)));
}

function texts(features: readonly { name: string; version: number }[]) {
  return features.map(({ name, version }) => `${name}@${version}`).sort();
}

test("what this build can do is said in few words and understood in full", () => {
  const said = abridged(OWN);
  expect(said[0]).toEqual(EDITION);
  expect(texts(received(said))).toEqual(texts(OWN));
  const hello = create(HelloSchema, { features: [...said] });
  expect(toBinary(HelloSchema, hello).length).toBeLessThan(200);
});

test("one that lacks a part of the edition names what it has", () => {
  for (const { name } of OWN) {
    const others = OWN.filter((feature) => feature.name !== name);
    expect(has(received(abridged(others)), { name, version: 1 })).toBe(false);
    expect(texts(received(abridged(others)))).toEqual(texts(others));
  }
});

test("a higher version and what came later are named beside it", () => {
  const [first, ...rest] = OWN;
  const name = first?.name ?? "";
  const later = { name: "kind/later", version: 1 };
  const said = abridged([{ name, version: 2 }, ...rest, later]);
  expect(said).toContainEqual(EDITION);
  expect(said.length).toBeLessThan(5);
  const understood = received(said);
  expect(has(understood, { name, version: 2 })).toBe(true);
  expect(has(understood, later)).toBe(true);
});

test("an edition that is said a thousand times is one, and another version of it none", () => {
  const said = Array.from({ length: 1_000 }, () => EDITION);
  expect(texts(received(said))).toEqual(texts(OWN));
  const other = { ...EDITION, version: 2 };
  expect(received([other])).toMatchObject([other]);
});

test("the protocol's file names all that the edition stands for", async () => {
  const file = new URL(
    "../../proto/holdfast/sync/v1/sync.proto",
    import.meta.url,
  );
  const text = (await readFile(file, "utf8")).replaceAll(/\s*\n\/\/ /g, " ");
  const [, ...said] =
    /"edition\/1".*?"kind\/" before (.*?); "plugin\/" before (.*?); and "(.*?)"\./.exec(
      text,
    ) ?? [];
  const [kinds = "", plugins = "", other = ""] = said;
  expect(
    [
      ...kinds.split(", ").map((kind) => `kind/${kind}@1`),
      ...plugins.split(", ").map((plugin) => `plugin/${plugin}@1`),
      `${other}@1`,
    ].sort(),
  ).toEqual(texts(received([EDITION])));
});
