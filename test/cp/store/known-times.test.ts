import { expect, test } from "vitest";
import { KnownTimes } from "../../../src/cp/store/known-times.ts";

const times = (ms: number) => ({ createdMs: ms, updatedMs: ms });

test("what was written last is known, until it is removed or much is written at once", () => {
  const known = new KnownTimes();
  known.took(new Map([["a", times(1)]]));
  known.took(
    new Map([
      ["b", times(2)],
      ["c", times(3)],
    ]),
  );
  known.took(new Map([["c", undefined]]));
  expect(known.get("a")).toEqual(times(1));
  expect(known.get("c")).toBeUndefined();
  const many = Array.from({ length: 600 }, (_, i) => `many-${i}`);
  known.took(new Map([...many, "a"].map((key) => [key, times(4)])));
  // Never what was there before.
  expect(known.get("a")).toBeUndefined();
  expect(known.get("b")).toBeUndefined();
  known.took(new Map([["a", times(5)]]));
  expect(known.get("a")).toEqual(times(5));
});
