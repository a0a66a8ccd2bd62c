/**
 * Items in ascending order, in runs of bounded length: a change copies one run and the list of runs, however many items
 * there are. Immutable.
 */
export type RankList<T> = readonly (readonly T[])[];

const RUN = 64;

/** Negative when `a` comes before `b`, 0 when they are one and the same. */
type Compare<T> = (a: T, b: T) => number;

/** The list with an item more, or with the same one in its place. */
export function withRanked<T>(
  list: RankList<T>,
  item: T,
  compare: Compare<T>,
): RankList<T> {
  const at = runOf(list, item, compare);
  const run = list[at];
  if (run === undefined) return [[item]];
  const place = placeOf(run, item, compare);
  const other = run[place];
  const same = other !== undefined && compare(other, item) === 0;
  const next = [...run];
  next.splice(place, same ? 1 : 0, item);
  if (next.length <= RUN) return replaced(list, at, [next]);
  const half = next.length >> 1;
  return replaced(list, at, [next.slice(0, half), next.slice(half)]);
}

/** The list without an item. */
export function withoutRanked<T>(
  list: RankList<T>,
  item: T,
  compare: Compare<T>,
): RankList<T> {
  const at = runOf(list, item, compare);
  const run = list[at];
  if (run === undefined) return list;
  const place = placeOf(run, item, compare);
  const other = run[place];
  if (other === undefined || compare(other, item) !== 0) return list;
  const next = run.filter((_one, i) => i !== place);
  return replaced(list, at, next.length === 0 ? [] : [next]);
}

/** The run that an item is in or belongs into: the first that ends with it or after it, else the last. */
function runOf<T>(list: RankList<T>, item: T, compare: Compare<T>): number {
  let low = 0;
  let high = list.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const last = list[middle]?.at(-1);
    if (last !== undefined && compare(last, item) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first place whose item does not come before this one. */
function placeOf<T>(run: readonly T[], item: T, compare: Compare<T>): number {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = run[middle];
    if (other !== undefined && compare(other, item) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function replaced<T>(
  list: RankList<T>,
  at: number,
  runs: RankList<T>,
): RankList<T> {
  return [...list.slice(0, at), ...runs, ...list.slice(at + 1)];
}
