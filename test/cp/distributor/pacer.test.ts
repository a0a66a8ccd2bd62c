import fc from "fast-check";
import { expect, test } from "vitest";
import { Pacer } from "../../../src/cp/distributor/pacer.ts";
import { LIMITS } from "../../../src/sync/limits.ts";
import { ManualClock } from "../../support/manual-clock.ts";

test("rule 10, pace: the first after calm goes at once, the others at most every 50 ms, and always one after the last", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 120 }), { minLength: 1 }),
      (gaps) => {
        const clock = new ManualClock(0);
        const runs: number[] = [];
        const pokes: number[] = [];
        const pacer = new Pacer(clock, () => runs.push(clock.monotonic()));
        for (const gap of gaps) {
          clock.advance(gap);
          const last = runs.at(-1);
          pokes.push(clock.monotonic());
          pacer.poke();
          if (last === undefined || clock.monotonic() - last >= LIMITS.paceMs)
            expect(runs.at(-1)).toBe(clock.monotonic());
        }
        clock.advance(LIMITS.paceMs);
        for (const [i, run] of runs.entries()) {
          if (i === 0) continue;
          expect(run - (runs[i - 1] ?? 0)).toBeGreaterThanOrEqual(
            LIMITS.paceMs,
          );
        }
        // Whatever happened is followed by a run, soon.
        for (const poke of pokes) {
          const run = runs.find((at) => at >= poke);
          expect(run).toBeDefined();
          expect((run ?? Infinity) - poke).toBeLessThanOrEqual(LIMITS.paceMs);
        }
        // And nothing runs for nothing.
        expect(runs.length).toBeLessThanOrEqual(pokes.length);
        const count = runs.length;
        clock.advance(10_000);
        expect(runs).toHaveLength(count);
        expect(clock.timers).toBe(0);
      },
    ),
  );
});

test("a flush runs what waits, and only then", () => {
  const clock = new ManualClock(0);
  let runs = 0;
  const pacer = new Pacer(clock, () => runs++);
  pacer.flush();
  expect(runs).toBe(0);
  pacer.poke();
  pacer.flush();
  expect(runs).toBe(1);
  clock.advance(10);
  pacer.poke();
  expect(runs).toBe(1);
  pacer.flush();
  expect(runs).toBe(2);
  clock.advance(1_000);
  expect(runs).toBe(2);
});

test("once stopped nothing runs, not even what waited", () => {
  const clock = new ManualClock(0);
  let runs = 0;
  const pacer = new Pacer(clock, () => runs++);
  pacer.poke();
  pacer.poke();
  pacer.stop();
  pacer.poke();
  pacer.flush();
  clock.advance(1_000);
  expect(runs).toBe(1);
  expect(clock.timers).toBe(0);
});
