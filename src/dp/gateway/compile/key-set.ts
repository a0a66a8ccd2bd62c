import { SharedMap, type Edit } from "../shared-map.ts";

/** A set of keys, of which versions share what did not change: mostly there are one or two, but there may be 100,000. */
export type KeySet = readonly string[] | SharedMap<true>;

/** Keys in an array, which is copied with each change. */
const IN_ARRAY = 16;

/** The set with one key more. */
export function withKey(
  set: KeySet | undefined,
  key: string,
  edit: Edit,
): KeySet {
  if (set === undefined) return [key];
  if (set instanceof SharedMap) return set.with(key, true, edit);
  if (set.includes(key)) return set;
  if (set.length < IN_ARRAY) return [...set, key];
  let map = SharedMap.empty<true>();
  for (const one of set) map = map.with(one, true, edit);
  return map.with(key, true, edit);
}

/** The set with one key less; undefined when that was the last. */
export function withoutKey(
  set: KeySet | undefined,
  key: string,
  edit: Edit,
): KeySet | undefined {
  if (set === undefined) return undefined;
  if (set instanceof SharedMap) {
    const map = set.without(key, edit);
    return map.size === 0 ? undefined : map;
  }
  const rest = set.filter((one) => one !== key);
  return rest.length === 0 ? undefined : rest;
}

/** The keys of a set, in no order that means anything. */
export function* keysOf(
  set: KeySet | undefined,
): Generator<string, void, undefined> {
  if (set === undefined) return;
  if (set instanceof SharedMap) for (const [key] of set.entries()) yield key;
  else yield* set;
}

/** How many keys a set has. */
export function countOf(set: KeySet | undefined): number {
  if (set === undefined) return 0;
  return set instanceof SharedMap ? set.size : set.length;
}

/** Whether a set has a key. */
export function hasKey(set: KeySet | undefined, key: string): boolean {
  if (set === undefined) return false;
  return set instanceof SharedMap ? set.has(key) : set.includes(key);
}
