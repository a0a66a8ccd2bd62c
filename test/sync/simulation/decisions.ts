import type { SeededRandom } from "../../support/seeded-random.ts";
import { FAULTS, type Fault } from "./faults.ts";

/** What may happen. A schedule is a list of these; each is a no-op where it makes no sense, so that any part of a list is one. */
type Deed =
  /** One of the things that can happen next to a node and its streams: a message is read, a write drains, a job ends … */
  | "step"
  /** Several of them. */
  | "burst"
  | "commit"
  | "publish"
  | "connect"
  | "tick"
  | "storeAgain"
  | "refuse"
  | "fail"
  | "cut"
  | "crash"
  | "stall"
  | "linger"
  | "nodeDisk"
  | "controlPlaneDisk"
  | "garble"
  | "unpin"
  | "stop"
  | "start"
  | "restoreBackup"
  | "restoreFile"
  | "retry"
  | "allow"
  | "adopt"
  /** Somebody keeps a node at a state, or lets it go; pauses all of them, or lets them go on. */
  | "pinNode"
  | "unpinNode"
  | "pause"
  | "resume";

/** A deed and two numbers that say which, how much, how. */
export type Decision = readonly [deed: Deed, a: number, b: number];

/** The world that a schedule happens in. */
export interface Setup {
  /** For each node, which features it has. */
  readonly nodes: readonly number[];
  /** For each control plane, which store it works on. */
  readonly controlPlanes: readonly number[];
  readonly stores: number;
  /** The control planes do not look whether their history has what a node serves. */
  readonly trusting: boolean;
  readonly faults: readonly Fault[];
}

/**
 * Draws a world: one control plane, or two on one store, or two that do not know of each other; and what may go wrong,
 * some of which may be given.
 */
export function drawSetup(
  random: SeededRandom,
  wanted: readonly Fault[],
): Setup {
  const possible = FAULTS.filter((fault) => fault !== "none");
  const faults: Fault[] = wanted.filter((fault) => fault !== "none");
  for (let left = 2 + random.below(4); left > 0; left--) {
    const fault = random.pick(possible);
    if (!faults.includes(fault)) faults.push(fault);
  }
  while (faults.length < 2) {
    const fault = random.pick(possible);
    if (!faults.includes(fault)) faults.push(fault);
  }
  const apart = faults.includes("history") && random.below(2) === 0;
  const lacking = faults.includes("lacking");
  const kind = random.below(3);
  return {
    nodes: [0, 1, 2].map((node) =>
      lacking && node > 0 ? 1 + ((node + kind) % 3) : 0,
    ),
    controlPlanes: apart ? [0, 1] : random.below(3) === 0 ? [0] : [0, 0],
    stores: apart ? 2 : 1,
    trusting: faults.includes("backup") && random.below(3) === 0,
    faults,
  };
}

interface Chance {
  readonly deed: Deed;
  readonly weight: number;
  /** Only where this may go wrong. */
  readonly fault?: Fault;
}

const CHANCES: readonly Chance[] = [
  { deed: "step", weight: 90 },
  { deed: "burst", weight: 45 },
  { deed: "commit", weight: 26 },
  { deed: "publish", weight: 24 },
  { deed: "connect", weight: 14 },
  { deed: "tick", weight: 10 },
  { deed: "storeAgain", weight: 24, fault: "nodeDiskFull" },
  { deed: "retry", weight: 4 },
  { deed: "allow", weight: 2 },
  { deed: "start", weight: 4 },
  { deed: "pinNode", weight: 3 },
  { deed: "unpinNode", weight: 4 },
  { deed: "pause", weight: 1 },
  { deed: "resume", weight: 3 },
  { deed: "cut", weight: 5, fault: "cut" },
  { deed: "stall", weight: 2, fault: "slow" },
  { deed: "linger", weight: 1, fault: "slow" },
  { deed: "crash", weight: 4, fault: "nodeCrash" },
  { deed: "stop", weight: 3, fault: "controlPlaneCrash" },
  { deed: "stop", weight: 3, fault: "drain" },
  { deed: "restoreBackup", weight: 3, fault: "backup" },
  { deed: "adopt", weight: 2, fault: "backup" },
  { deed: "restoreFile", weight: 2, fault: "history" },
  { deed: "allow", weight: 4, fault: "history" },
  { deed: "nodeDisk", weight: 4, fault: "nodeDiskFull" },
  { deed: "fail", weight: 10, fault: "nodeDiskFull" },
  { deed: "controlPlaneDisk", weight: 4, fault: "controlPlaneDiskFull" },
  { deed: "crash", weight: 4, fault: "damage" },
  { deed: "crash", weight: 4, fault: "quarantine" },
  { deed: "garble", weight: 5, fault: "garbled" },
  { deed: "refuse", weight: 10, fault: "refusal" },
  { deed: "unpin", weight: 12, fault: "unpinned" },
];

/** Ways for a process to end, by the fault that it is; each is the second number of a "crash". */
const CRASHES: Partial<Record<Fault, readonly number[]>> = {
  nodeCrash: [0, 0, 1, 1, 4],
  damage: [2, 3],
  quarantine: [5],
};

/** Draws what happens next in a world. */
export class Scheduler {
  readonly #setup: Setup;
  readonly #random: SeededRandom;
  readonly #chances: readonly Chance[];
  readonly #sum: number;

  constructor(setup: Setup, random: SeededRandom) {
    this.#setup = setup;
    this.#random = random;
    this.#chances = CHANCES.filter(
      ({ fault }) => fault === undefined || setup.faults.includes(fault),
    );
    this.#sum = this.#chances.reduce((sum, { weight }) => sum + weight, 0);
  }

  next(): Decision {
    let left = this.#random.below(this.#sum);
    for (const chance of this.#chances) {
      left -= chance.weight;
      if (left < 0) return this.#decide(chance);
    }
    throw new RangeError("no chance was drawn");
  }

  #decide({ deed, fault }: Chance): Decision {
    const random = this.#random;
    const node = random.below(this.#setup.nodes.length);
    const controlPlane = random.below(this.#setup.controlPlanes.length);
    switch (deed) {
      case "step":
      case "burst":
      case "cut":
      case "stall":
      case "linger":
      case "refuse":
      case "fail":
      case "storeAgain":
      case "unpin":
      case "garble":
        return [deed, node, random.below(64)];
      case "crash": {
        const ways = (fault && CRASHES[fault]) ?? [0];
        return [deed, node, random.pick(ways)];
      }
      case "commit":
        return [deed, controlPlane, random.below(2 ** 20)];
      case "publish":
        return [deed, controlPlane, random.below(2)];
      case "connect":
        return [deed, node, controlPlane];
      case "tick":
        return [deed, 1 + random.below(4_000), 0];
      case "nodeDisk":
        return [deed, node, random.below(2)];
      case "controlPlaneDisk":
        return [deed, random.below(this.#setup.stores), random.below(2)];
      case "stop":
        return [deed, controlPlane, fault === "drain" ? 2 : random.below(2)];
      case "start":
      case "adopt":
        return [deed, controlPlane, 0];
      case "pinNode":
        return [deed, node, random.below(2 ** 10)];
      case "unpinNode":
      case "pause":
      case "resume":
        return [deed, node, controlPlane];
      case "restoreBackup":
      case "restoreFile":
        return [deed, random.below(this.#setup.stores), random.below(2 ** 20)];
      case "retry":
      case "allow":
        return [deed, controlPlane, node];
      default:
        return deed satisfies never;
    }
  }
}
