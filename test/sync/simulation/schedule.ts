import { SeededRandom } from "../../support/seeded-random.ts";
import {
  drawSetup,
  Scheduler,
  type Decision,
  type Setup,
} from "./decisions.ts";
import type { Fault } from "./faults.ts";
import { settle } from "./settle.ts";
import type { Machines } from "./surroundings.ts";
import { World, type Recording } from "./world.ts";

/** What every schedule has at least. */
export const LEAST = { steps: 200, commits: 20, faults: 2 } as const;
const LEAST_DECISIONS = 120;
const MOST_DECISIONS = 4_000;
const PATIENCE = 1_000;

/** What happens next, where somebody knows; undefined: chance decides. */
export type Steer = (world: World) => Decision | undefined;

/** What came of a schedule. */
export interface Outcome {
  readonly setup: Setup;
  readonly decisions: readonly Decision[];
  readonly steps: number;
  readonly commits: number;
  /** Nodes that were given up since they were too slow. */
  readonly stalls: number;
  readonly faults: ReadonlySet<Fault>;
  /** What broke; undefined when all is well. */
  readonly error: Error | undefined;
}

/**
 * Draws the world and what happens in it from a seed, until enough has happened; then lets it settle. `wanted` are faults
 * that it must have; `steer` may take a decision out of chance's hands, for what chance alone brings about too seldom.
 */
export function runSchedule(
  seed: number,
  machines: Machines,
  recording: Recording = {},
  wanted: readonly Fault[] = [],
  steer?: Steer,
): Outcome {
  const random = new SeededRandom(seed);
  const setup = drawSetup(random, wanted);
  const scheduler = new Scheduler(setup, random);
  const decisions: Decision[] = [];
  const world = new World(setup, machines, recording);
  const error = attempt(() => {
    while (decisions.length < MOST_DECISIONS && !hasEnough(world, decisions)) {
      const decision: Decision =
        steer?.(world) ??
        // Some faults need luck to strike. A torn connection does not.
        (decisions.length > PATIENCE &&
        world.struck.size < LEAST.faults &&
        random.below(4) === 0
          ? ["cut", random.below(setup.nodes.length), 0]
          : scheduler.next());
      decisions.push(decision);
      if (!world.act(decision)) decisions.pop();
    }
    settle(world, setup);
  });
  return outcomeOf(setup, decisions, world, error);
}

/** Does the same again, or a part of it. */
export function replay(
  setup: Setup,
  decisions: readonly Decision[],
  machines: Machines,
  recording: Recording = {},
): Outcome {
  const world = new World(setup, machines, recording);
  const error = attempt(() => {
    for (const decision of decisions) world.act(decision);
    world.trace?.push("nothing goes wrong any more");
    settle(world, setup);
  });
  return outcomeOf(setup, decisions, world, error);
}

/** The seed of one of the schedules of a run. */
export function seedOf(run: number, at: number): number {
  return (Math.imul(run, 0x9e3779b1) + Math.imul(at, 0x85ebca6b)) >>> 0;
}

function hasEnough(world: World, decisions: readonly Decision[]): boolean {
  return (
    decisions.length >= LEAST_DECISIONS &&
    world.steps >= LEAST.steps &&
    world.commits >= LEAST.commits &&
    world.struck.size >= LEAST.faults
  );
}

function outcomeOf(
  setup: Setup,
  decisions: readonly Decision[],
  { steps, commits, stalls, struck }: World,
  error: Error | undefined,
): Outcome {
  return { setup, decisions, steps, commits, stalls, faults: struck, error };
}

function attempt(run: () => void): Error | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    // A machine that throws is as broken as one that lies.
    return error instanceof Error ? error : new Error(String(error));
  }
}
