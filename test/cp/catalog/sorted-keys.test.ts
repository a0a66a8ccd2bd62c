import fc from "fast-check";
import { expect, test } from "vitest";
import { SortedKeys, sortSlices } from "../../../src/cp/catalog/sorted-keys.ts";
import { runSlices } from "../../../src/model/slices.ts";

const keys = fc.uniqueArray(
  fc
    .tuple(fc.constantFrom("a", "b", "ba", "c"), fc.nat(3000))
    .map(([kind, n]) => `${kind}/${n.toString().padStart(4, "0")}`),
  { maxLength: 3000, size: "max" },
);

test("a set is its keys in order, whatever came and went", () => {
  fc.assert(
    fc.property(keys, keys, keys, (first, added, removed) => {
      const set = runSlices(SortedKeys.ofSlices(first));
      const next = runSlices(
        set.withSlices(
          added.filter((key) => !first.includes(key)).sort(),
          [...removed].sort(),
        ),
      );
      expect([...set]).toEqual([...first].sort());
      const gone = new Set(removed);
      const expected = [...new Set([...first, ...added])]
        // What is added and removed at once is not asked for.
        .filter((key) => !gone.has(key) || !first.includes(key))
        .sort();
      expect([...next]).toEqual(expected);
      expect(next.size).toBe(expected.length);
    }),
    { numRuns: 30 },
  );
});

test("the keys after a key are those with the prefix, and no others", () => {
  fc.assert(
    fc.property(
      keys,
      fc.constantFrom("a/", "b/", "ba/", "c/", "d/"),
      fc.nat(3000),
      (all, prefix, n) => {
        const set = runSlices(SortedKeys.ofSlices(all));
        const from = `${prefix}${n.toString().padStart(4, "0")}`;
        for (const after of ["", prefix, from])
          expect([...set.after(after, prefix)]).toEqual(
            all.filter((key) => key.startsWith(prefix) && key > after).sort(),
          );
      },
    ),
    { numRuns: 50 },
  );
});

test("sorting and adding many keys pauses every few hundred", () => {
  const many = Array.from(
    { length: 20_000 },
    (_, i) => `a/${((i * 7919) % 20_000).toString().padStart(5, "0")}`,
  );
  const sorted: string[] = [];
  for (const work of [
    sortSlices(many),
    SortedKeys.empty.withSlices([...many].sort(), []),
  ]) {
    let pauses = 0;
    for (;;) {
      const step = work.next();
      if (step.done === true) {
        sorted.push([...step.value].join());
        break;
      }
      pauses++;
      expect(step.value).toBeLessThanOrEqual(1024);
    }
    expect(pauses).toBeGreaterThan(20_000 / 1024);
  }
  expect(sorted[0]).toBe([...many].sort().join());
  expect(sorted[1]).toBe(sorted[0]);
});

test("keys that come in ascending order are taken as they are, and others refused", () => {
  fc.assert(
    fc.property(keys, (all) => {
      const sorted = [...all].sort();
      const set = runSlices(SortedKeys.ofAscendingSlices(sorted));
      expect([...set]).toEqual(sorted);
      expect(set.size).toBe(sorted.length);
    }),
    { numRuns: 50 },
  );
  for (const wrong of [
    ["a/1", "a/1"],
    ["a/2", "a/1"],
  ])
    expect(() => runSlices(SortedKeys.ofAscendingSlices(wrong))).toThrow(
      RangeError,
    );
});
