import { FAULTS, type Fault } from "./faults.ts";

/** How many schedules a run has, and the number that all of them come from. */
export interface RunOptions {
  readonly seed: number;
  readonly schedules: number;
  /** One schedule is repeated, by its own seed, instead of a run. */
  readonly single: boolean;
  /** Faults that the one schedule must have. */
  readonly faults: readonly Fault[];
  /** Print the coverage table. */
  readonly table: boolean;
}

const SCHEDULES = 10_000;

/**
 * HOLDFAST_SIM_SEED is the seed of a run; with HOLDFAST_SIM_SCHEDULES=1 it is that of one schedule, as a failure prints
 * it, with HOLDFAST_SIM_FAULTS where it was made to have some. HOLDFAST_SIM_TABLE=1 prints the coverage.
 */
export function runOptions(): RunOptions {
  const seed = process.env["HOLDFAST_SIM_SEED"];
  const schedules = process.env["HOLDFAST_SIM_SCHEDULES"];
  const faults = (process.env["HOLDFAST_SIM_FAULTS"] ?? "").split(",");
  return {
    seed:
      seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(seed),
    schedules: schedules === undefined ? SCHEDULES : Number(schedules),
    single: schedules === "1",
    faults: FAULTS.filter((fault) => faults.includes(fault)),
    table: process.env["HOLDFAST_SIM_TABLE"] !== undefined,
  };
}
