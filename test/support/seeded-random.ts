/**
 * Chance that can be had again: everything comes from one number. Tests show it in their names; to repeat a run set
 * HOLDFAST_TEST_SEED to it.
 */
export class SeededRandom {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** With the seed of the environment, or with one that no run had before. */
  static fromEnvironment(): SeededRandom {
    const given = process.env["HOLDFAST_TEST_SEED"];
    return new SeededRandom(
      given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given),
    );
  }

  /** From 0 up to but without 1. The generator is known as mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 up to but without `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** One of these. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError("there is nothing to pick");
    return item;
  }
}
