import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";

/** Keys in one piece, at most: what a change copies. */
const CHUNK_KEYS = 512;

/**
 * A set of keys in ascending order. Immutable; sets made from one another share the pieces that did not change, so that
 * a reader can go on with the one it began with.
 */
export class SortedKeys implements Iterable<string> {
  static readonly empty = new SortedKeys([]);

  /** None is empty. */
  readonly #chunks: readonly (readonly string[])[];

  private constructor(chunks: readonly (readonly string[])[]) {
    this.#chunks = chunks;
  }

  /** A set of keys that come in any order, each once. */
  static *ofSlices(keys: Iterable<string>): Slices<SortedKeys> {
    const sorted = yield* sortSlices(keys);
    const chunks: string[][] = [];
    for (let at = 0; at < sorted.length; at += CHUNK_KEYS)
      chunks.push(sorted.slice(at, at + CHUNK_KEYS));
    return new SortedKeys(chunks);
  }

  /** How many there are. */
  get size(): number {
    let size = 0;
    for (const chunk of this.#chunks) size += chunk.length;
    return size;
  }

  *[Symbol.iterator](): Generator<string, void, undefined> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  /** The keys with a prefix that come after a key, ascending. */
  *after(key: string, prefix: string): Generator<string, void, undefined> {
    const from = key < prefix ? prefix : key;
    let i = this.#chunkOf(from);
    for (; i < this.#chunks.length; i++)
      for (const found of this.#chunks[i] ?? []) {
        if (found <= key || found < prefix) continue;
        if (!found.startsWith(prefix)) return;
        yield found;
      }
  }

  /** This set with some keys more and some less. Both ascending, each key once. */
  *withSlices(
    added: readonly string[],
    removed: readonly string[],
  ): Slices<SortedKeys> {
    const chunks: (readonly string[])[] = [];
    let a = 0;
    let r = 0;
    let handled = 0;
    // The first piece also takes what comes before it; without pieces there is one that is empty.
    const old = this.#chunks.length === 0 ? [[]] : this.#chunks;
    for (const [i, chunk] of old.entries()) {
      const [end] = old[i + 1] ?? [];
      const before = (key: string | undefined): key is string =>
        key !== undefined && (end === undefined || key < end);
      const less = new Set<string>();
      for (let key = removed[r]; before(key); key = removed[++r]) less.add(key);
      const start = a;
      while (before(added[a]))
        if (++a % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
      if (a === start && less.size === 0) chunks.push(chunk);
      else {
        const kept = chunk.filter((key) => !less.has(key));
        const merged = yield* mergeSlices(kept, added.slice(start, a));
        for (const piece of split(merged)) chunks.push(piece);
        handled += chunk.length;
      }
      if (++handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    return new SortedKeys(chunks);
  }

  /** The piece that a key is in, or would be. */
  #chunkOf(key: string): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const [first = ""] = this.#chunks[middle] ?? [];
      if (first <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Sorts texts, pausing. Each once. */
export function* sortSlices(texts: Iterable<string>): Slices<string[]> {
  let runs: string[][] = [];
  let run: string[] = [];
  for (const text of texts) {
    run.push(text);
    if (run.length < SLICE_ENTRIES) continue;
    runs.push(run.sort());
    run = [];
    yield SLICE_ENTRIES;
  }
  runs.push(run.sort());
  while (runs.length > 1) {
    const merged: string[][] = [];
    for (let i = 0; i < runs.length; i += 2)
      merged.push(yield* mergeSlices(runs[i] ?? [], runs[i + 1] ?? []));
    runs = merged;
  }
  return runs[0] ?? [];
}

function* mergeSlices(
  a: readonly string[],
  b: readonly string[],
): Slices<string[]> {
  const merged: string[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const left = a[i];
    const right = b[j];
    if (right === undefined || (left !== undefined && left < right)) {
      merged.push(left ?? "");
      i++;
    } else {
      merged.push(right);
      if (left === right) i++;
      j++;
    }
    if (merged.length % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
  }
  return merged;
}

function split(keys: string[]): string[][] {
  if (keys.length === 0) return [];
  if (keys.length <= CHUNK_KEYS) return [keys];
  const count = Math.ceil(keys.length / (CHUNK_KEYS / 2));
  const size = Math.ceil(keys.length / count);
  const chunks: string[][] = [];
  for (let at = 0; at < keys.length; at += size)
    chunks.push(keys.slice(at, at + size));
  return chunks;
}
