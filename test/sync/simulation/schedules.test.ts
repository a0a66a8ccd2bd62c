import { describe, expect, test } from "vitest";
import { CoverageRun } from "./coverage-run.ts";
import type { Fault } from "./faults.ts";
import { MACHINES } from "./mutants.ts";
import { runOptions } from "./run-options.ts";
import { LEAST, replay, runSchedule } from "./schedule.ts";
import { describeFailure, shrink } from "./shrink.ts";

const { seed, schedules, single, faults, table } = runOptions();

process.stdout.write(
  `simulation: ${schedules} schedules of HOLDFAST_SIM_SEED=${seed}\n`,
);

describe(`control planes and nodes on a simulated network (HOLDFAST_SIM_SEED=${seed})`, () => {
  if (single)
    test("the schedule of that seed holds", () => {
      expect(failureOf(seed, faults)).toBe("");
    });
  else
    test(`${schedules} random schedules keep every invariant, end well, and reach every cell of the coverage`, () => {
      const run = new CoverageRun(seed, MACHINES);
      const least = { steps: Infinity, commits: Infinity, faults: Infinity };
      let stalls = 0;
      for (let left = schedules; left > 0; left--) {
        const outcome = run.next();
        if (outcome.error !== undefined) expect.fail(failureOf(outcome.seed));
        stalls += outcome.stalls;
        least.steps = Math.min(least.steps, outcome.steps);
        least.commits = Math.min(least.commits, outcome.commits);
        least.faults = Math.min(least.faults, outcome.faults.size);
      }
      expect(least.steps).toBeGreaterThanOrEqual(LEAST.steps);
      expect(least.commits).toBeGreaterThanOrEqual(LEAST.commits);
      expect(least.faults).toBeGreaterThanOrEqual(LEAST.faults);
      if (schedules >= 1_000) expect(stalls).toBeGreaterThan(schedules / 100);
      // Of a few schedules not all cells can be asked for.
      if (schedules >= 10_000) {
        for (const { error, seed: drawn, wanted } of run.search())
          if (error !== undefined) expect.fail(failureOf(drawn, wanted));
        expect(run.flaws()).toEqual([]);
      }
      if (table)
        process.stdout.write(
          `\n${run.schedules} schedules\n\n${run.sessions.table()}\n\n${run.replicas.table()}\n`,
        );
    });

  test("a seed gives the same schedule again, and its decisions the same steps", () => {
    const first = runSchedule(seed, MACHINES);
    const second = runSchedule(seed, MACHINES);
    expect(second).toEqual(first);
    const again = replay(first.setup, first.decisions, MACHINES);
    expect(again.commits).toBe(first.commits);
    expect(again.steps).toBe(first.steps);
  });
});

/** What a failing schedule comes down to, in words; empty when it does not fail. */
function failureOf(drawn: number, wanted: readonly Fault[] = []): string {
  const { setup, decisions, error } = runSchedule(drawn, MACHINES, {}, wanted);
  if (error === undefined) return "";
  const shrunk = shrink(setup, decisions, MACHINES);
  return shrunk === undefined
    ? `${error.message} (seed ${drawn}), but not again`
    : describeFailure(drawn, wanted, shrunk);
}
