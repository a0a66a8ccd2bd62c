import { expect, test } from "vitest";
import { CrashCount, PROVED_MS } from "../../../src/dp/workers/crash-count.ts";

test("the third worker that crashes with a new state proves it guilty, once", () => {
  const count = new CrashCount();
  count.begin("a");
  expect([1, 2, 3, 4].map(() => count.crashed("a"))).toEqual([
    false,
    false,
    true,
    false,
  ]);
});

test("a state that a worker has served for ten seconds is never blamed, one that was served for less still is", () => {
  const count = new CrashCount();
  count.begin("a");
  count.alive("a", PROVED_MS - 1);
  count.crashed("a");
  count.crashed("a");
  expect(count.crashed("a")).toBe(true);
  count.begin("b");
  count.alive("b", PROVED_MS);
  expect([1, 2, 3, 4].map(() => count.crashed("b"))).not.toContain(true);
});

test("crashes with another state, and those before it, do not count", () => {
  const count = new CrashCount();
  count.begin("a");
  count.crashed("a");
  count.crashed("a");
  count.begin("b");
  count.crashed("b");
  count.crashed("a");
  count.crashed("a");
  expect(count.crashed("b")).toBe(false);
  count.alive("a", PROVED_MS);
  expect(count.crashed("b")).toBe(true);
});
