import { ByNetwork } from "./by-network.ts";
import type { Clock, Timer } from "./clock.ts";

/** Somebody who was let in. */
export interface Entrant {
  /** Where it comes from, as `networkOf` has it. */
  readonly network: string;
  /** Cuts it off: it takes too long, and others wait. */
  hurry(): void;
}

export interface AdmissionOptions {
  readonly clock: Clock;
  /** How many may have a place at a time. */
  readonly places: number;
  /** Whether others wait to enter. */
  readonly othersWait: () => boolean;
  /** Lets one of those in that wait; false when there is none. */
  readonly admitOne: () => boolean;
}

const TICK_MS = 100;
/** A tick that comes so late says that this process was busy, and may not have read what it was sent. */
const LATE_MS = 100;
/** What a late tick counts. Not nothing, or who keeps this process busy would keep all places. */
const LATE_TICK = 0.25;
/** After so many ticks who has not proven himself waits beside, when others want his place. */
const ASIDE_TICKS = 1;
/** How many may wait beside. */
const MAX_ASIDE = 1_024;
/** After so many ticks he is cut off, when others want to wait beside. */
const HURRY_TICKS = 30;

/**
 * Gives so many places at a time. Whoever enters has yet to prove who he is, and while that takes long he makes room for
 * others without being cut off: in a storm the other end may be as busy as this one. Once proven he gets a place again
 * before those who are not in yet.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #placed = new Set<Entrant>();
  /** Those who have not proven themselves, with the tick they entered at, the earliest first. */
  readonly #unproven = new Map<Entrant, number>();
  /** The unproven ones without a place. */
  readonly #aside = new ByNetwork<Entrant>();
  /** The proven ones without a place, with what tells them that they have one. */
  readonly #returning = new Map<Entrant, () => void>();
  /** Time, as far as this process was able to answer in it. */
  #ticks = 0;
  #timer: Timer | undefined;
  #isAdvancing = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Gives whoever waits the places that are free. */
  advance(): void {
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    while (this.#placed.size < this.#options.places) {
      const [first] = this.#returning;
      if (first !== undefined) {
        const [entrant, tell] = first;
        this.#returning.delete(entrant);
        this.#placed.add(entrant);
        tell();
      } else if (!this.#options.admitOne()) break;
    }
    this.#isAdvancing = false;
  }

  /** Takes a place. */
  enter(entrant: Entrant): void {
    this.#placed.add(entrant);
    this.#unproven.set(entrant, this.#ticks);
    this.#schedule();
  }

  /** He is who he should be. Resolves when he has a place, or has left. */
  async proven(entrant: Entrant): Promise<void> {
    if (!this.#forget(entrant)) return;
    if (this.#placed.has(entrant)) return;
    const placed = new Promise<void>((resolve) => {
      this.#returning.set(entrant, resolve);
    });
    this.advance();
    await placed;
  }

  /** He is served by now, with a place or without: he has one from now on. */
  claim(entrant: Entrant): void {
    if (!this.#forget(entrant)) return;
    this.#placed.add(entrant);
  }

  /** He needs no place any more. */
  leave(entrant: Entrant): void {
    this.#forget(entrant);
    this.#returning.get(entrant)?.();
    this.#returning.delete(entrant);
    this.#placed.delete(entrant);
    this.advance();
  }

  /** Measures no more time. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** He has nothing to prove any more: he has done so, or he has left. False when that was so before. */
  #forget(entrant: Entrant): boolean {
    this.#aside.delete(entrant);
    const wasUnproven = this.#unproven.delete(entrant);
    if (this.#unproven.size === 0) this.stop();
    return wasUnproven;
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#unproven.size === 0) return;
    const { clock } = this.#options;
    const dueMs = clock.monotonic() + TICK_MS;
    this.#timer = clock.setTimer(TICK_MS, () => {
      this.#timer = undefined;
      this.#ticks += clock.monotonic() - dueMs > LATE_MS ? LATE_TICK : 1;
      this.#makeRoom();
      this.#schedule();
    });
  }

  #makeRoom(): void {
    for (const [entrant, since] of this.#unproven) {
      if (!this.#options.othersWait()) return;
      if (this.#ticks - since < ASIDE_TICKS) break;
      if (!this.#placed.has(entrant)) continue;
      if (this.#aside.size >= MAX_ASIDE && !this.#hurryOne()) break;
      this.#placed.delete(entrant);
      this.#aside.add(entrant);
    }
    this.advance();
  }

  /** Cuts off who has waited beside the longest, of those where most come from. False when it is too early for that. */
  #hurryOne(): boolean {
    const [oldest] = this.#aside.crowd();
    const since = oldest && this.#unproven.get(oldest);
    if (oldest === undefined || since === undefined) return false;
    if (this.#ticks - since < HURRY_TICKS) return false;
    this.#forget(oldest);
    oldest.hurry();
    return true;
  }
}
