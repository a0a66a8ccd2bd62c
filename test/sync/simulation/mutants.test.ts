import { describe, expect, test } from "vitest";
import { MACHINES, MUTANTS } from "./mutants.ts";
import { runSchedule, seedOf } from "./schedule.ts";
import { shrink } from "./shrink.ts";

/** As many as a run has. */
const SCHEDULES = 10_000;
/**
 * Always the same schedules: what is tested here is the simulation, which finds a mistake or does not, and not whether a
 * seed is lucky. Another one may be tried by HOLDFAST_MUTANTS_SEED.
 */
const seed = Number(process.env["HOLDFAST_MUTANTS_SEED"] ?? 1);

describe(`mistakes in the machines (HOLDFAST_MUTANTS_SEED=${seed})`, () => {
  test.each(MUTANTS)(
    "are found: $name ($mistake)",
    ({ name, machines, faults, steer }) => {
      for (let at = 0; at < SCHEDULES; at++) {
        const { error } = runSchedule(
          seedOf(seed, at),
          machines,
          {},
          faults,
          steer,
        );
        if (error === undefined) continue;
        process.stdout.write(
          `found after ${at + 1} schedules: ${name}: ${error.message}\n`,
        );
        return;
      }
      expect.fail(`${name} was not found in ${SCHEDULES} schedules`);
    },
  );

  test("a failing schedule is made small, and fails without the mistake no more", () => {
    const mutant = MUTANTS.find(({ name }) => name === "skip the root check");
    if (mutant === undefined) throw new Error("there is no such mistake");
    for (let at = 0; at < SCHEDULES; at++) {
      const { error, setup, decisions } = runSchedule(
        seedOf(seed, at),
        mutant.machines,
      );
      if (error === undefined) continue;
      const shrunk = shrink(setup, decisions, mutant.machines);
      expect(shrunk?.decisions.length).toBeLessThan(decisions.length / 2);
      expect(shrunk?.trace.length).toBeGreaterThan(0);
      expect(shrink(setup, shrunk?.decisions ?? [], MACHINES)).toBeUndefined();
      return;
    }
    expect.fail("it was not found");
  });
});
