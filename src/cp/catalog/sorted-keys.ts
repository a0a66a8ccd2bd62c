import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";

/** Keys in one piece, at most: what a change copies. */
const PIECE_KEYS = 512;

/** Keys in ascending order, as one text: a string for each takes half as much again, and is looked at in every garbage collection. */
interface Piece {
  readonly text: string;
  readonly count: number;
}

/** No key has it. */
const SEPARATOR = "\n";

/**
 * A set of keys in ascending order. Immutable; sets made from one another share the pieces that did not change, so that
 * a reader can go on with the one it began with.
 */
export class SortedKeys implements Iterable<string> {
  static readonly empty = new SortedKeys([]);

  /** None is empty. */
  readonly #pieces: readonly Piece[];

  private constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  /** A set of keys that come in any order, each once. */
  static *ofSlices(keys: Iterable<string>): Slices<SortedKeys> {
    const sorted = yield* sortSlices(keys);
    const pieces: Piece[] = [];
    for (let at = 0; at < sorted.length; at += PIECE_KEYS) {
      pieces.push(pieceOf(sorted.slice(at, at + PIECE_KEYS)));
      yield PIECE_KEYS;
    }
    return new SortedKeys(pieces);
  }

  /**
   * A set of keys that come in ascending order, each once.
   *
   * @throws RangeError when they do not.
   */
  static *ofAscendingSlices(keys: Iterable<string>): Slices<SortedKeys> {
    const pieces: Piece[] = [];
    let piece: string[] = [];
    let previous = "";
    for (const key of keys) {
      if (key <= previous)
        throw new RangeError(`"${key}" comes after "${previous}"`);
      previous = key;
      if (piece.push(key) < PIECE_KEYS) continue;
      pieces.push(pieceOf(piece));
      piece = [];
      yield PIECE_KEYS;
    }
    if (piece.length > 0) pieces.push(pieceOf(piece));
    return new SortedKeys(pieces);
  }

  /** How many there are. */
  get size(): number {
    let size = 0;
    for (const piece of this.#pieces) size += piece.count;
    return size;
  }

  *[Symbol.iterator](): Generator<string, void, undefined> {
    for (const piece of this.#pieces) yield* keysOf(piece);
  }

  /** The keys with a prefix that come after a key, ascending. */
  *after(key: string, prefix: string): Generator<string, void, undefined> {
    const from = key < prefix ? prefix : key;
    for (let i = this.#pieceOf(from); i < this.#pieces.length; i++)
      for (const found of keysOf(this.#pieces[i])) {
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
    const pieces = this.#pieces.slice();
    // From the last piece to the first: where the others are does not change then.
    let a = added.length;
    let r = removed.length;
    let handled = 0;
    while (a > 0 || r > 0) {
      const last =
        (added[a - 1] ?? "") > (removed[r - 1] ?? "")
          ? added[a - 1]
          : removed[r - 1];
      const i = this.#pieceOf(last ?? "");
      // The first piece also takes what comes before it; without pieces there is one that is empty.
      const start = i === 0 ? "" : firstOf(this.#pieces[i]);
      const aEnd = a;
      while (a > 0 && (added[a - 1] ?? "") >= start)
        if (--a % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
      const less = new Set<string>();
      for (; r > 0 && (removed[r - 1] ?? "") >= start; r--)
        less.add(removed[r - 1] ?? "");
      const kept = keysOf(this.#pieces[i]).filter((key) => !less.has(key));
      const merged = yield* mergeSlices(kept, added.slice(a, aEnd));
      pieces.splice(i, 1, ...split(merged));
      handled += kept.length + less.size;
      if (handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    return new SortedKeys(pieces);
  }

  /** The piece that a key is in, or would be. */
  #pieceOf(key: string): number {
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (firstOf(this.#pieces[middle]) <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function keysOf(piece: Piece | undefined): string[] {
  return piece === undefined ? [] : piece.text.split(SEPARATOR);
}

function firstOf(piece: Piece | undefined): string {
  if (piece === undefined) return "";
  const end = piece.text.indexOf(SEPARATOR);
  return end === -1 ? piece.text : piece.text.slice(0, end);
}

function pieceOf(keys: readonly string[]): Piece {
  return { text: keys.join(SEPARATOR), count: keys.length };
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

function split(keys: readonly string[]): Piece[] {
  if (keys.length === 0) return [];
  if (keys.length <= PIECE_KEYS) return [pieceOf(keys)];
  const count = Math.ceil(keys.length / (PIECE_KEYS / 2));
  const size = Math.ceil(keys.length / count);
  const pieces: Piece[] = [];
  for (let at = 0; at < keys.length; at += size)
    pieces.push(pieceOf(keys.slice(at, at + size)));
  return pieces;
}
