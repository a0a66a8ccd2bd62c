import type { Kind } from "../../model/kinds.ts";
import { lookupKey } from "../../model/unique.ts";
import type { View } from "./view.ts";

/** The key of the entry that a name of a kind means. */
export function ownerOfName(
  view: View,
  kind: Kind,
  name: string,
): string | undefined {
  for (const uniqueKey of lookupKey(kind, name)) {
    const owner = view.owner(uniqueKey);
    if (owner !== undefined) return owner;
  }
  return undefined;
}
