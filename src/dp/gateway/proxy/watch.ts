import type { Clock, Timer } from "../../../runtime/clock.ts";

/** What an exchange waits for. */
export type Waiting = "connect" | "write" | "read" | "client";

/** How long each may take without any progress, in milliseconds. */
export type WaitLimits = Readonly<Record<Waiting, number>>;

/** How often deadlines are looked at, at most. */
const LOOK_MS = 5;

/**
 * Notices when exchanges make no progress. One timer serves all of them: it is set for the earliest deadline, and most
 * exchanges are long over by then, so that they neither start nor cancel one.
 */
export class Watcher {
  readonly #clock: Clock;
  /**
   * In no order. Not a set: one that things go in and out of all the time is made anew every so often, and the old one,
   * though nobody has it, refers to the new one. As soon as one of them is in the heap's old space, all that follow get
   * there, with every request that was under way: a third of all that requests allocate was not collected until the next
   * full collection.
   */
  readonly #watches: Watch[] = [];
  #timer: Timer | undefined;
  #firesAt = Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Watches an exchange that begins. */
  begin(limits: WaitLimits, expire: (waiting: Waiting) => void): Watch {
    const watch = new Watch(this, limits, expire);
    watch.place = this.#watches.push(watch) - 1;
    return watch;
  }

  /** The time by which progress is judged. */
  now(): number {
    return this.#clock.monotonic();
  }

  /** Something may not take longer than until then. */
  due(deadline: number, now: number): void {
    // A timer that fires too early finds that out itself; only one that fires too late must go.
    if (this.#firesAt > deadline) this.#arm(deadline, now);
  }

  /** An exchange is over. */
  forget(watch: Watch): void {
    const { place } = watch;
    if (this.#watches[place] !== watch) return;
    const last = this.#watches.pop();
    if (last === undefined || last === watch) return;
    this.#watches[place] = last;
    last.place = place;
  }

  #arm(deadline: number, now: number): void {
    this.#timer?.cancel();
    const delayMs = Math.max(LOOK_MS, deadline - now);
    this.#firesAt = now + delayMs;
    this.#timer = this.#clock.setTimer(delayMs, this.#look);
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    this.#firesAt = Infinity;
    const now = this.now();
    let next = Infinity;
    // From the end: who goes meanwhile is replaced by one that was looked at already.
    for (let i = this.#watches.length - 1; i >= 0; i--) {
      const watch = this.#watches[i];
      if (watch === undefined) continue;
      const { deadline } = watch;
      if (deadline > now) next = Math.min(next, deadline);
      else watch.expire();
    }
    if (next < this.#firesAt) this.#arm(next, now);
  };
}

/** Notices when one exchange makes no progress. */
export class Watch {
  /** Where the watcher has it. */
  place = -1;
  readonly #watcher: Watcher;
  readonly #limits: WaitLimits;
  readonly #onExpired: (waiting: Waiting) => void;
  #waiting: Waiting = "connect";
  #deadline = Infinity;

  constructor(
    watcher: Watcher,
    limits: WaitLimits,
    onExpired: (waiting: Waiting) => void,
  ) {
    this.#watcher = watcher;
    this.#limits = limits;
    this.#onExpired = onExpired;
  }

  /** Until when what is waited for may take; infinite when nothing is. */
  get deadline(): number {
    return this.#deadline;
  }

  /** Begins to wait for something, or for the next bit of it. */
  wait(waiting: Waiting): void {
    const now = this.#watcher.now();
    this.#waiting = waiting;
    this.#deadline = now + this.#limits[waiting];
    this.#watcher.due(this.#deadline, now);
  }

  /** The time is over. */
  expire(): void {
    this.#deadline = Infinity;
    this.#onExpired(this.#waiting);
  }

  /** Ends the watch. */
  stop(): void {
    this.#deadline = Infinity;
    this.#watcher.forget(this);
  }
}
