import { type Slices } from "../../../model/slices.ts";
import { sortSlices } from "./sort-slices.ts";

const NONE: readonly number[] = [];

/**
 * Finds, for a path, all entries whose literal text the path begins with. The texts stand in one sorted array; each
 * knows the longest other one that it begins with. So one binary search finds the longest that fits, and the chain of
 * those it begins with has all others.
 */
export class PathIndex {
  readonly #texts: readonly string[];
  /** For each text the index of the longest other text that it begins with; -1 for none. */
  readonly #parents: Int32Array;
  /** For each text the ranks of its routes, ascending. */
  readonly #ranks: readonly (readonly number[])[];

  private constructor(
    texts: readonly string[],
    parents: Int32Array,
    ranks: readonly (readonly number[])[],
  ) {
    this.#texts = texts;
    this.#parents = parents;
    this.#ranks = ranks;
  }

  /** An index over the ranks of routes by text; the ranks of each text ascend. */
  static *build(
    ranksByText: ReadonlyMap<string, readonly number[]>,
  ): Slices<PathIndex> {
    const texts = yield* sortSlices([...ranksByText.keys()], (a, b) =>
      a < b ? -1 : a > b ? 1 : 0,
    );
    const parents = new Int32Array(texts.length);
    const ranks: (readonly number[])[] = [];
    // In sorted order, what a text begins with stands before it: the texts it may extend are a stack.
    const open: number[] = [];
    for (const [i, text] of texts.entries()) {
      while (open.length > 0 && !text.startsWith(texts[open.at(-1) ?? 0] ?? ""))
        open.pop();
      parents[i] = open.at(-1) ?? -1;
      open.push(i);
      ranks.push(ranksByText.get(text) ?? NONE);
      if (i % 64 === 63) yield 64;
    }
    return new PathIndex(texts, parents, ranks);
  }

  /** The ranks of each text that the path begins with, the longest text first. */
  *find(path: string): Generator<readonly number[], void, undefined> {
    for (let i = this.#longest(path); i >= 0; i = this.#parents[i] ?? -1)
      yield this.#ranks[i] ?? NONE;
  }

  /** The index of the longest text that the path begins with; -1 for none. */
  #longest(path: string): number {
    let low = 0;
    let high = this.#texts.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if ((this.#texts[middle] ?? "") <= path) low = middle + 1;
      else high = middle - 1;
    }
    // `high` is the last text that does not stand after the path; the one that fits is it or what it begins with.
    let i = high;
    while (i >= 0 && !path.startsWith(this.#texts[i] ?? ""))
      i = this.#parents[i] ?? -1;
    return i;
  }
}
