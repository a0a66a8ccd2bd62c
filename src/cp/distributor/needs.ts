import { fromBinary } from "@bufbuild/protobuf";
import { ResourceSchema } from "../../gen/holdfast/config/v1/resource_pb.js";
import { featuresOf } from "../../model/features.ts";
import { parseKey } from "../../model/kinds.ts";
import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { FeatureNeed } from "../../sync/features.ts";
import type { StoredChange } from "../store/store.ts";

const SHOWN_KEYS = 16;
/** What keys of plugins begin with. */
const PLUGIN = "plugin/";

/** Which features a state needs and for which entries; kept up to date change by change. */
export class NeedIndex {
  /** By feature: the keys of the entries that need it. */
  readonly #keys = new Map<string, Set<string>>();
  #needs: readonly FeatureNeed[] | undefined;

  /** Reads a whole snapshot. */
  *load(snapshot: Snapshot): Slices<void> {
    this.#keys.clear();
    this.#needs = undefined;
    let handled = 0;
    for (const { key, value } of snapshot.entries()) {
      this.#edit(key, value, true);
      if (++handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
  }

  /** Takes up what a revision changed. */
  update(changes: readonly StoredChange[]): void {
    this.#needs = undefined;
    for (const { key, before, after } of changes) {
      // Then it is the kind alone that matters, which is part of the key.
      const isChanged = before !== undefined && after !== undefined;
      if (isChanged && !key.startsWith(PLUGIN)) continue;
      if (before !== undefined) this.#edit(key, before, false);
      if (after !== undefined) this.#edit(key, after, true);
    }
  }

  /** What the state needs now; the same array until it changes. */
  get needs(): readonly FeatureNeed[] {
    this.#needs ??= [...this.#keys]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([feature, keys]) => {
        const at = feature.lastIndexOf("@");
        return {
          name: feature.slice(0, at),
          version: Number(feature.slice(at + 1)),
          keys: firstOf(keys, SHOWN_KEYS),
        };
      });
    return this.#needs;
  }

  /** What the state needs even when some of its entries are other ones. */
  without(changed: ReadonlySet<string>): readonly FeatureNeed[] {
    return this.needs.filter(({ name, version }) => {
      for (const key of this.#keys.get(`${name}@${version}`) ?? [])
        if (!changed.has(key)) return true;
      return false;
    });
  }

  #edit(key: string, value: Uint8Array, add: boolean): void {
    for (const { name, version } of featuresOfEntry(key, value)) {
      const feature = `${name}@${version}`;
      let keys = this.#keys.get(feature);
      if (keys === undefined) this.#keys.set(feature, (keys = new Set()));
      if (add) keys.add(key);
      else keys.delete(key);
      if (keys.size === 0) this.#keys.delete(feature);
    }
  }
}

/** The first of them, without a look at the rest: there may be a hundred thousand. */
function firstOf(keys: Iterable<string>, count: number): string[] {
  const first: string[] = [];
  for (const key of keys) {
    if (first.length === count) break;
    first.push(key);
  }
  return first;
}

function featuresOfEntry(
  key: string,
  value: Uint8Array,
): readonly { readonly name: string; readonly version: number }[] {
  const kind = parseKey(key)?.kind;
  // Only plugins need more than their kind: the others are not decoded for it.
  if (kind !== undefined && kind !== "plugin")
    return [{ name: `kind/${kind}`, version: 1 }];
  return featuresOf(fromBinary(ResourceSchema, value));
}
