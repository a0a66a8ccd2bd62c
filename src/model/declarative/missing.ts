import { isUuid } from "../ids.ts";
import { keyOf, type Kind } from "../kinds.ts";
import {
  describeMissing,
  referencesOf,
  type ResourceReference,
} from "../references.ts";
import { lookupKey, uniqueKeys } from "../unique.ts";
import { locate } from "./check-rules.ts";
import type { Problem } from "./parsed.ts";
import { inside, problemAt } from "./report.ts";
import type { ResolvedEntity } from "./resolve.ts";

/**
 * References to what the files do not have, in the words and by the rules of the catalog, which may have it. What has no
 * readable identity is wrong itself: references to its kind are not judged.
 */
export function findMissing(entities: readonly ResolvedEntity[]): Problem[] {
  const ids = new Set<string>();
  const names = new Set<string>();
  const unreadable = new Set<Kind>();
  for (const { raw, declared, stored } of entities) {
    ids.add(keyOf(raw.kind, raw.id === "" ? declared.idIfNew : raw.id));
    for (const { key } of uniqueKeys(stored)) names.add(key);
    if (IDENTITY.some((key) => raw.flawed.has(key))) unreadable.add(raw.kind);
  }
  const isThere = ({ kind, ref: { id, name } }: ResourceReference): boolean =>
    unreadable.has(kind) ||
    (id === undefined
      ? name === "" ||
        lookupKey(kind, name ?? "").some((key) => names.has(key)) ||
        (isUuid(name ?? "") && ids.has(keyOf(kind, name ?? "")))
      : !isUuid(id) || ids.has(keyOf(kind, id)));
  return entities.flatMap(({ raw, declared }) =>
    referencesOf(declared.resource)
      .filter((reference) => !isThere(reference))
      .map((reference) =>
        problemAt(
          inside(raw.subject, reference.field),
          locate(raw, reference.field),
          describeMissing(reference),
        ),
      ),
  );
}

const IDENTITY = ["id", "name", "username", "custom_id"];
