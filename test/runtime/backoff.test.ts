import fc from "fast-check";
import { expect, test } from "vitest";
import {
  backoffDelays,
  backoffMs,
  SYNC_BACKOFF,
} from "../../src/runtime/backoff.ts";

test("the bound doubles from the first to the greatest", () => {
  const bounds = Array.from({ length: 9 }, (_, i) =>
    backoffMs(i + 1, SYNC_BACKOFF, () => 1),
  );
  expect(bounds).toEqual([
    250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
  ]);
});

test("a wait lies anywhere between nothing and the bound", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 10_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (failures, chance) => {
        const delay = backoffMs(failures, SYNC_BACKOFF, () => chance);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(30_000);
        expect(delay).toBe(chance * backoffMs(failures, SYNC_BACKOFF, () => 1));
      },
    ),
  );
});

test("a series starts at the first bound and never ends", () => {
  const delays = backoffDelays({ initialMs: 10, maxMs: 35 }, () => 0.5);
  expect(Array.from({ length: 5 }, () => delays.next().value)).toEqual([
    5, 10, 17.5, 17.5, 17.5,
  ]);
});
