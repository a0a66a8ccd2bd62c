import { Coverage, type Cell } from "./coverage.ts";
import { REPLICA_TABLE, SESSION_TABLE } from "./coverage-tables.ts";
import type { Fault } from "./faults.ts";
import { runSchedule, seedOf, type Outcome } from "./schedule.ts";
import type { Machines } from "./surroundings.ts";

/** Schedules that look for a cell which chance has left out, at most. */
const SEARCHES = 6_000;

/** What must go wrong for a state or an event to come about. */
const HELPERS: Readonly<Record<string, Fault>> = {
  "withheld bucketsWritten": "lacking",
  "ended placed": "nodeCrash",
  parked: "nodeDiskFull",
  "online retry": "nodeDiskFull",
  "offline persist": "cut",
  "offline commit": "cut",
  withheld: "refusal",
  ended: "cut",
  placed: "backup",
  unpinned: "unpinned",
  bucketsWritten: "garbled",
  nacked: "refusal",
  refused: "refusal",
  arrived: "unpinned",
  dismissed: "drain",
  disconnected: "cut",
};

/** What came of a schedule, and what it was drawn from. */
export interface Drawn extends Outcome {
  readonly seed: number;
  readonly wanted: readonly Fault[];
}

/** Both machines' tables, filled by running schedules. */
export class CoverageRun {
  readonly sessions = new Coverage(SESSION_TABLE);
  readonly replicas = new Coverage(REPLICA_TABLE);
  readonly #run: number;
  readonly #machines: Machines;
  #schedules = 0;

  constructor(run: number, machines: Machines) {
    this.#run = run;
    this.#machines = machines;
  }

  /** How many schedules there were. */
  get schedules(): number {
    return this.#schedules;
  }

  /** The next schedule, with its seed. */
  next(wanted: readonly Fault[] = []): Drawn {
    const seed = seedOf(this.#run, this.#schedules++);
    const outcome = runSchedule(
      seed,
      this.#machines,
      { sessions: this.sessions, replicas: this.replicas },
      wanted,
    );
    return { ...outcome, seed, wanted };
  }

  /** Runs further schedules with the faults that cells which chance has left out need. The outcomes, as they come. */
  *search(): Generator<Drawn> {
    for (let left = SEARCHES; left > 0;) {
      const missing = this.#missing();
      if (missing.length === 0) return;
      for (const cell of missing.slice(0, 20)) {
        yield this.next(needsOf(cell));
        left--;
      }
    }
  }

  /** Cells that are empty and should not be, or are not and should be. */
  flaws(): readonly string[] {
    return [
      ...this.#missing().map(
        ({ state, event, fault }) => `${state} x ${event} x ${fault} is empty`,
      ),
      ...this.sessions.surprising(),
      ...this.replicas.surprising(),
    ];
  }

  #missing(): readonly Cell[] {
    return [...this.sessions.missing(), ...this.replicas.missing()];
  }
}

function needsOf({ state, event, fault }: Cell): readonly Fault[] {
  return [
    fault,
    HELPERS[`${state} ${event}`] ?? HELPERS[state],
    HELPERS[event],
  ].filter((each) => each !== undefined && each !== "none");
}
