import fc from "fast-check";
import { expect, test } from "vitest";
import { newEdit, SharedMap } from "../../../src/dp/gateway/shared-map.ts";

test("a shared map has what was put into it, and no version changes with the next", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          key: fc.nat(400).map((n) => `route/${n}`),
          value: fc.option(fc.nat(3), { nil: undefined }),
          together: fc.boolean(),
        }),
        { maxLength: 1500, size: "max" },
      ),
      (changes) => {
        let edit = newEdit();
        let map = SharedMap.empty<number>();
        const model = new Map<string, number>();
        const versions: {
          map: SharedMap<number>;
          told: Map<string, number>;
        }[] = [];
        for (const { key, value, together } of changes) {
          if (!together) {
            edit = newEdit();
            if (versions.length < 5)
              versions.push({ map, told: new Map(model) });
          }
          map =
            value === undefined
              ? map.without(key, edit)
              : map.with(key, value, edit);
          if (value === undefined) model.delete(key);
          else model.set(key, value);
          expect(map.get(key)).toBe(value);
          expect(map.size).toBe(model.size);
        }
        expect(new Map(map.entries())).toEqual(model);
        for (const version of versions) {
          expect(new Map(version.map.entries())).toEqual(version.told);
          expect(version.map.size).toBe(version.told.size);
        }
      },
    ),
    { numRuns: 40 },
  );
});

test("a version that is made of 100,000 entries has all of them, and one change copies little of it", () => {
  const edit = newEdit();
  let map = SharedMap.empty<number>();
  for (let n = 0; n < 100_000; n++) map = map.with(`service/${n}`, n, edit);
  const next = map.with("service/7", -1, newEdit());
  expect(map.size).toBe(100_000);
  expect([map.get("service/7"), next.get("service/7")]).toEqual([7, -1]);
  for (let n = 0; n < 100_000; n += 97) expect(map.get(`service/${n}`)).toBe(n);
  expect(map.get("service/100000")).toBeUndefined();
});
