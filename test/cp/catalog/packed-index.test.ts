import fc from "fast-check";
import { expect, test } from "vitest";
import { PackedIndex } from "../../../src/cp/catalog/packed-index.ts";
import { KINDS, keyOf } from "../../../src/model/kinds.ts";
import { runSlices } from "../../../src/model/slices.ts";

const keyOfNumber = (n: number): string =>
  keyOf(
    KINDS[n % KINDS.length] ?? "route",
    `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`,
  );

const pairs = fc.array(
  fc
    .tuple(fc.integer({ min: 0, max: 40 }), fc.nat(1500))
    .map(([text, n]) => [`name ${text}`, keyOfNumber(n)] as const),
  { maxLength: 3000, size: "max" },
);

function modelOf(all: readonly (readonly [string, string])[]) {
  const model = new Map<string, Set<string>>();
  for (const [text, key] of all)
    model.set(text, (model.get(text) ?? new Set()).add(key));
  return model;
}

function expectSame(index: PackedIndex, model: Map<string, Set<string>>): void {
  let size = 0;
  for (let i = 0; i <= 40; i++) {
    const keys = model.get(`name ${i}`) ?? new Set();
    size += keys.size;
    const found = [...index.all(`name ${i}`)];
    expect(new Set(found)).toEqual(keys);
    expect(found.length).toBe(keys.size);
  }
  expect(index.size).toBe(size);
}

test("a text has the keys that were loaded, added and not deleted", () => {
  fc.assert(
    fc.property(pairs, pairs, pairs, (loaded, added, deleted) => {
      const model = modelOf(loaded);
      const loader = PackedIndex.loader();
      for (const [text, keys] of model)
        for (const key of keys) loader.add(text, key);
      const index = runSlices(loader.finishSlices());
      expectSame(index, model);
      for (const [text, key] of added) {
        index.add(text, key);
        model.set(text, (model.get(text) ?? new Set()).add(key));
      }
      for (const [text, key] of deleted) {
        index.delete(text, key);
        model.get(text)?.delete(key);
      }
      expectSame(index, model);
    }),
    { numRuns: 20 },
  );
});

test("setting a key makes it the only one of its text", () => {
  const index = runSlices(PackedIndex.loader().finishSlices());
  for (let i = 0; i < 5_000; i++) index.set(`name ${i % 1000}`, keyOfNumber(i));
  expect(index.size).toBe(1000);
  for (let i = 0; i < 1000; i++)
    expect([...index.all(`name ${i}`)]).toEqual([keyOfNumber(4000 + i)]);
  expect(index.first("name 1000")).toBeUndefined();
});

test("loading many pauses between parts", () => {
  const loader = PackedIndex.loader();
  for (let i = 0; i < 20_000; i++) loader.add(`name ${i}`, keyOfNumber(i));
  const work = loader.finishSlices();
  let pauses = 0;
  for (let step = work.next(); step.done !== true; step = work.next()) {
    pauses++;
    expect(step.value).toBeLessThanOrEqual(1024);
  }
  expect(pauses).toBeGreaterThan(20_000 / 1024);
});

test("a text that very many keys belong to is loaded with pauses", () => {
  const loader = PackedIndex.loader();
  const keys = Array.from({ length: 20_000 }, (_, n) => keyOfNumber(n));
  // In no order that is theirs.
  for (let i = 0; i < keys.length; i++)
    loader.add("all", keys[(i * 7919) % keys.length] ?? "");
  loader.add("one", keyOfNumber(1));
  const work = loader.finishSlices();
  let pauses = 0;
  let step = work.next();
  for (; step.done !== true; step = work.next()) {
    pauses++;
    expect(step.value).toBeLessThanOrEqual(512);
  }
  expect(pauses).toBeGreaterThan(keys.length / 512);
  const index = step.value;
  expect(new Set(index.all("all"))).toEqual(new Set(keys));
  for (const key of keys) index.delete("all", key);
  expect([...index.all("all")]).toEqual([]);
  expect(index.size).toBe(1);
  expect([...index.all("one")]).toEqual([keyOfNumber(1)]);
});
