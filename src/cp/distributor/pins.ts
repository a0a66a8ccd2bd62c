import type { Snapshot } from "../../model/snapshot.ts";

/** A session that pulls a state. */
export interface Puller {
  /** The state is no longer kept for it. */
  unpinned(): void;
}

interface Pin {
  readonly pullers: Set<Puller>;
  /** Whether any of the pullers was made to start again too often. */
  priority: boolean;
}

/**
 * Keeps the states that nodes pull buckets of, a few at a time: otherwise slow nodes, each with a state of its own, would
 * hold as much memory as there are nodes. When there are too many the oldest gives way, and its pullers start again with
 * the newest.
 */
export class Pins {
  readonly #limit: number;
  /** Oldest first. */
  readonly #pins = new Map<Snapshot, Pin>();
  readonly #held = new Map<Puller, Snapshot>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many states are kept. */
  get size(): number {
    return this.#pins.size;
  }

  /** Keeps a state for a session, in place of the one it pulled before. */
  pin(puller: Puller, snapshot: Snapshot, priority: boolean): void {
    this.release(puller);
    let pin = this.#pins.get(snapshot);
    if (pin === undefined) {
      pin = { pullers: new Set(), priority: false };
      this.#pins.set(snapshot, pin);
    }
    pin.pullers.add(puller);
    pin.priority ||= priority;
    this.#held.set(puller, snapshot);
    if (this.#pins.size > this.#limit) this.#giveWay(snapshot);
  }

  /** The session pulls nothing any more. */
  release(puller: Puller): void {
    const snapshot = this.#held.get(puller);
    if (snapshot === undefined) return;
    this.#held.delete(puller);
    const pin = this.#pins.get(snapshot);
    pin?.pullers.delete(puller);
    if (pin?.pullers.size === 0) this.#pins.delete(snapshot);
  }

  #giveWay(newest: Snapshot): void {
    const others = [...this.#pins].filter(([state]) => state !== newest);
    const victim = others.find(([, { priority }]) => !priority) ?? others[0];
    if (victim === undefined) return;
    const [state, { pullers }] = victim;
    this.#pins.delete(state);
    for (const puller of pullers) this.#held.delete(puller);
    // After the books are right: each of them asks for another state at once.
    for (const puller of pullers) puller.unpinned();
  }
}
