import type { Slices } from "../../model/slices.ts";
import { sortSlices, type SortedKeys } from "./sorted-keys.ts";
import type { Layer } from "./view.ts";

/** The keys of all entries once a layer is on top. `before`: the value of an entry below it. */
export function* nextKeysSlices(
  keys: SortedKeys,
  layer: Layer,
  before: (key: string) => Uint8Array | undefined,
): Slices<SortedKeys> {
  const added: string[] = [];
  const removed: string[] = [];
  for (const [key, after] of layer.entries) {
    const was = before(key) !== undefined;
    if (after !== undefined && !was) added.push(key);
    if (after === undefined && was) removed.push(key);
    yield 1;
  }
  return yield* keys.withSlices(
    yield* sortSlices(added),
    yield* sortSlices(removed),
  );
}
