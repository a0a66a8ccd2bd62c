import type { Clock } from "../../runtime/clock.ts";

/** What is done to one counter. */
export interface CounterStep {
  /** Names the counter. Whatever makes it one of its own is in it: the plugin, who is counted, the window. */
  readonly key: string;
  /**
   * Whose counter it is, as a configured plugin: where there are too many in all, those of the owner that has the most go.
   * Default: nobody's, who counts as one owner. Counters of two owners are two, also by one key.
   */
  readonly owner?: string;
  /** What is added. 0 reads; a negative number takes back. */
  readonly by: number;
  /** When a counter that this makes ends, in milliseconds since the Unix epoch. One that is there keeps its own end. */
  readonly expiresMs: number;
}

/** Counters that all workers of a data plane share. They may be lost, as when memory runs short: then they begin anew. */
export interface SharedCounters {
  /** Takes all steps at once, nobody else's between them; resolves with the values after it, in the order of the steps. */
  add(steps: readonly CounterStep[]): Promise<readonly number[]>;
}

/** How a process keeps its counters. */
export interface LocalCountersOptions {
  readonly clock: Pick<Clock, "now">;
  /** How many counters there are at most; one takes some 200 bytes. Default 100,000. */
  readonly maxCounters?: number;
}

interface Counter {
  value: number;
  readonly expiresMs: number;
  /** Whether it was asked for since the sweep was here. */
  used: boolean;
}

const MAX_COUNTERS = 100_000;

/** How many counters the sweep looks at for each one that is made: it gets round faster than they come. */
const SWEPT_PER_NEW = 2;

/**
 * Counters of this process alone. Each new one makes the sweep go on a little: counters that are over are dropped. Where
 * there are too many, one that nobody asked for since the last round goes, of an owner that has more than its share: who
 * makes many, as a client does that is always another, pushes nobody else's out.
 */
export class LocalCounters implements SharedCounters {
  readonly #clock: Pick<Clock, "now">;
  readonly #max: number;
  readonly #owners = new Map<string, Owned>();
  #size = 0;
  /** The owners that the sweep has still to look at in this round: a copy, as one that comes again and again has no end. */
  #round: (readonly [string, Owned])[] = [];
  #swept: readonly [string, Owned] | undefined;
  /** Had more than its share when it was last looked at. */
  #largest: readonly [string, Owned] | undefined;

  constructor({ clock, maxCounters = MAX_COUNTERS }: LocalCountersOptions) {
    this.#clock = clock;
    this.#max = maxCounters;
  }

  /** How many counters there are, those included that are over but not swept yet. */
  get size(): number {
    return this.#size;
  }

  add(steps: readonly CounterStep[]): Promise<readonly number[]> {
    return Promise.resolve(this.addNow(steps));
  }

  /** As `add`, at once. */
  addNow(steps: readonly CounterStep[]): readonly number[] {
    const nowMs = this.#clock.now();
    return steps.map((step) => this.#step(step, nowMs));
  }

  #step(
    { key, owner = "", by, expiresMs }: CounterStep,
    nowMs: number,
  ): number {
    const counter = this.#owners.get(owner)?.counters.get(key);
    if (counter !== undefined && counter.expiresMs > nowMs) {
      counter.used = true;
      counter.value += by;
      return counter.value;
    }
    // Taking back from a counter that is gone leaves nothing, and one that would be over is not worth making.
    if (by <= 0 || expiresMs <= nowMs) return Math.max(by, 0);
    if (counter === undefined) this.#makeRoom(nowMs);
    // Looked up again: what made room may have taken the last of its counters, and so the owner.
    let owned = this.#owners.get(owner);
    if (owned === undefined) this.#owners.set(owner, (owned = new Owned()));
    if (!owned.counters.delete(key)) this.#size++;
    owned.counters.set(key, { value: by, expiresMs, used: true });
    return by;
  }

  #makeRoom(nowMs: number): void {
    for (let i = 0; i < SWEPT_PER_NEW; i++) {
      this.#swept ??= this.#nextOwner();
      if (this.#swept === undefined) return;
      if (!this.#sweep(this.#swept, nowMs, false)) this.#swept = undefined;
    }
    while (this.#size >= this.#max) {
      this.#largest = this.#aboveShare();
      if (this.#largest === undefined) return;
      this.#sweep(this.#largest, nowMs, true);
    }
  }

  #nextOwner(): readonly [string, Owned] | undefined {
    if (this.#round.length === 0) this.#round = [...this.#owners];
    return this.#round.pop();
  }

  /** An owner that has as many counters as all have on average, or more: the one of the last time for as long as it has. */
  #aboveShare(): readonly [string, Owned] | undefined {
    const share = this.#size / this.#owners.size;
    const before = this.#largest;
    if (before !== undefined && before[1].counters.size >= share) return before;
    let largest: readonly [string, Owned] | undefined;
    for (const entry of this.#owners)
      if (entry[1].counters.size > (largest?.[1].counters.size ?? 0))
        largest = entry;
    return largest;
  }

  /** Looks at one counter. False when that was the last of the owner's in this round. */
  #sweep(
    [owner, owned]: readonly [string, Owned],
    nowMs: number,
    full: boolean,
  ): boolean {
    const { dropped, more } = owned.sweepOne(nowMs, full);
    if (dropped) this.#size--;
    // It may have gone before, and another of its name have come.
    if (owned.counters.size === 0 && this.#owners.get(owner) === owned)
      this.#owners.delete(owner);
    return more;
  }
}

/** The counters of one owner. */
class Owned {
  readonly counters = new Map<string, Counter>();
  #sweep = this.counters.entries();

  /** Looks at the next counter, and drops it when it is over, or when all are too many and nobody has asked for it. */
  sweepOne(
    nowMs: number,
    full: boolean,
  ): { readonly dropped: boolean; readonly more: boolean } {
    const next = this.#sweep.next();
    if (next.done === true) {
      this.#sweep = this.counters.entries();
      return { dropped: false, more: false };
    }
    const [key, counter] = next.value;
    const dropped = counter.expiresMs <= nowMs || (full && !counter.used);
    if (dropped) this.counters.delete(key);
    else if (full) counter.used = false;
    return { dropped, more: true };
  }
}
