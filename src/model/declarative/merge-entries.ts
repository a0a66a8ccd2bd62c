import { isNull, measure, type MapEntry, type TreeNode } from "./tree.ts";

type Entries = ReadonlyMap<string, MapEntry>;

/**
 * A map with what another says beside it; maps in both are merged in the same way, anything else is taken whole.
 *
 * @param nulls Whether a null of its own gives way, as in an entity, or stays, as in a plugin's configuration.
 */
export function mergedOver(
  own: Entries,
  under: Entries,
  nulls: "give way" | "stay",
): Entries {
  const merged = new Map(own);
  for (const [key, below] of under) {
    const mine = own.get(key);
    if (mine === undefined || (nulls === "give way" && isNull(mine.value)))
      merged.set(key, below);
    else if (mine.value.type === "map" && below.value.type === "map")
      merged.set(key, {
        keyOffset: mine.keyOffset,
        value: mapOf(
          mergedOver(mine.value.entries, below.value.entries, nulls),
          mine.value.offset,
        ),
      });
  }
  return merged;
}

/** A map that stands at an offset. */
export function mapOf(entries: Entries, offset: number): TreeNode {
  const children = [...entries.values()].map(({ value }) => value);
  return { type: "map", entries, offset, ...measure(children) };
}
