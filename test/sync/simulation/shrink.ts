import type { Decision, Setup } from "./decisions.ts";
import type { Fault } from "./faults.ts";
import { replay } from "./schedule.ts";
import type { Machines } from "./surroundings.ts";

/** A failing schedule made small. */
export interface Shrunk {
  readonly setup: Setup;
  readonly decisions: readonly Decision[];
  readonly error: Error;
  /** What happens, step by step. */
  readonly trace: readonly string[];
}

/** Replays at most. */
const ATTEMPTS = 3_000;

/**
 * Leaves out of a failing schedule whatever it fails without: first halves, then quarters, at last single decisions. Any
 * failure counts, since the same mistake may show first in another way.
 */
export function shrink(
  setup: Setup,
  decisions: readonly Decision[],
  machines: Machines,
): Shrunk | undefined {
  let kept = decisions;
  let error = replay(setup, kept, machines).error;
  if (error === undefined) return undefined;
  let attempts = 0;
  for (
    let size = Math.ceil(kept.length / 2);
    size >= 1 && attempts < ATTEMPTS;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let start = 0; start < kept.length && attempts < ATTEMPTS;) {
      const shorter = [...kept.slice(0, start), ...kept.slice(start + size)];
      attempts++;
      const found = replay(setup, shorter, machines).error;
      if (found === undefined) start += size;
      else {
        kept = shorter;
        error = found;
      }
    }
  }
  const trace: string[] = [];
  replay(setup, kept, machines, { trace });
  return { setup, decisions: kept, error, trace };
}

/** A failure for people: what broke, how to see it again, and the shortest way to it. */
export function describeFailure(
  seed: number,
  wanted: readonly Fault[],
  { setup, decisions, error, trace }: Shrunk,
): string {
  return [
    error.message,
    "",
    `To see it again: HOLDFAST_SIM_SEED=${seed} HOLDFAST_SIM_SCHEDULES=1${wanted.length === 0 ? "" : ` HOLDFAST_SIM_FAULTS=${wanted.join(",")}`} npx vitest run --config .config/vitest.config.ts --project simulation`,
    "",
    `nodes ${setup.nodes.join(" ")}, control planes on stores ${setup.controlPlanes.join(" ")}; shrunk to ${decisions.length} decisions:`,
    JSON.stringify(decisions),
    "",
    ...trace,
    `=> ${error.message}`,
    ...(error.stack?.split("\n").slice(1, 6) ?? []),
  ].join("\n");
}
