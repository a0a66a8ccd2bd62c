import { FAULTS, numberOf, type Fault } from "./faults.ts";
import type { Reach } from "./coverage-states.ts";

type Cells = Readonly<Record<string, Readonly<Record<string, Reach>>>>;

/** A cell of the table. */
export interface Cell {
  readonly state: string;
  readonly event: string;
  readonly fault: Fault;
}

/** Counts the steps of a machine by state, event and each fault that has struck before; "none" where none has. */
export class Coverage {
  readonly #cells: Cells;
  readonly #states: ReadonlyMap<string, number>;
  readonly #events: ReadonlyMap<string, number>;
  readonly #counts: Uint32Array;

  /** For a machine with these cells. */
  constructor(cells: Cells) {
    this.#cells = cells;
    const states = Object.keys(cells);
    const events = Object.keys(Object.values(cells)[0] ?? {});
    this.#states = new Map(states.map((state, at) => [state, at]));
    this.#events = new Map(events.map((event, at) => [event, at]));
    this.#counts = new Uint32Array(
      states.length * events.length * FAULTS.length,
    );
  }

  /** One step. `struck` has a bit for each fault that has struck. */
  count(state: string, event: string, struck: number): void {
    const start = this.#startOf(state, event);
    let left = struck === 0 ? 1 : struck;
    while (left !== 0) {
      const at = start + 31 - Math.clz32(left & -left);
      this.#counts[at] = (this.#counts[at] ?? 0) + 1;
      left &= left - 1;
    }
  }

  /** Cells that ought to be reached and were not. */
  missing(): readonly Cell[] {
    return this.#each().flatMap(([state, event, reach]) => {
      if (isNever(reach)) return [];
      const counts = this.#at(state, event);
      if (typeof reach === "object" && !("afterFaults" in reach))
        return "hardly" in reach || counts.some((count) => count > 0)
          ? []
          : [{ state, event, fault: "none" as const }];
      return FAULTS.filter(
        (fault) =>
          counts[numberOf(fault)] === 0 &&
          (fault !== "none" || reach === "always"),
      ).map((fault) => ({ state, event, fault }));
    });
  }

  /** Cells that were reached and are said not to be, in words. */
  surprising(): readonly string[] {
    return this.#each().flatMap(([state, event, reach]) =>
      isNever(reach) && this.#at(state, event).some((count) => count > 0)
        ? [`${state} x ${event} was reached though: ${reach.never}`]
        : [],
    );
  }

  /** For people: a line for each state and event, with the steps in all, and the fewest after a fault. */
  table(): string {
    const lines = ["state | event | fewest after a fault, after none"];
    for (const [state, event, reach] of this.#each()) {
      if (isNever(reach)) {
        lines.push(`${state} | ${event} | - ${reach.never}`);
        continue;
      }
      const [none = 0, ...counts] = this.#at(state, event);
      const least = Math.min(...counts);
      lines.push(
        `${state} | ${event} | ${least} (${FAULTS[counts.indexOf(least) + 1] ?? ""}), ${none}`,
      );
    }
    return lines.join("\n");
  }

  #each(): readonly (readonly [string, string, Reach])[] {
    return Object.entries(this.#cells).flatMap(([state, row]) =>
      Object.entries(row).map(
        ([event, reach]) => [state, event, reach] as const,
      ),
    );
  }

  #startOf(state: string, event: string): number {
    return (
      ((this.#states.get(state) ?? 0) * this.#events.size +
        (this.#events.get(event) ?? 0)) *
      FAULTS.length
    );
  }

  #at(state: string, event: string): Uint32Array {
    const start = this.#startOf(state, event);
    return this.#counts.subarray(start, start + FAULTS.length);
  }
}

function isNever(reach: Reach): reach is { readonly never: string } {
  return typeof reach === "object" && "never" in reach;
}
