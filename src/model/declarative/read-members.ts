import { isUuid } from "../ids.ts";
import type { Collector, RawEntity, RawReference } from "./raw-entity.ts";
import { addSelectTags } from "./deck-entity.ts";
import type { Init } from "./read-field.ts";
import { textOf } from "./read-reference.ts";
import { item, problemAt, type Subject } from "./report.ts";
import {
  describeNode,
  isNull,
  listItems,
  shorten,
  type TreeNode,
} from "./tree.ts";
import { keysOf, NAME_KEYS, type EntityKey } from "./vocabulary.ts";

/** Reads a list of names that stands for memberships: `consumers[].groups`, `consumer_groups[].consumers`. */
export function readMembers(
  key: EntityKey & { readonly type: "members" },
  node: TreeNode,
  listSubject: Subject,
  parent: RawEntity,
  collector: Collector,
): void {
  const { entities, report } = collector;
  if (isNull(node)) return;
  const items = listItems(node);
  if (items === undefined) {
    report.problems.push(
      problemAt(
        listSubject,
        node.offset,
        `expected a list of names, got ${describeNode(node, false)}`,
      ),
    );
    return;
  }
  for (const [index, child] of items.entries()) {
    const at = item(listSubject, index);
    const target = memberOf(key, child);
    if (target === undefined) {
      report.problems.push(
        problemAt(
          at,
          child.offset,
          `expected a ${key.to}'s name, {name: …} or {id: …}, got ${describeNode(child, false)}`,
        ),
      );
      continue;
    }
    const subject = {
      ...at,
      entity: `${key.kind} ${shown(target)}`,
      field: "",
    };
    const init: Init = {};
    addSelectTags(key.kind, init, collector);
    entities.push({
      kind: key.kind,
      id: "",
      init,
      entries: new Map(),
      flawed: new Set(),
      references: [
        { field: key.other, to: key.to, target, subject, offset: child.offset },
      ],
      parent: { entity: parent, field: key.field },
      subject,
      offset: child.offset,
    });
  }
}

/**
 * Whom an item names. decK writes all of the other entity's own fields out again, its tags and times, say: they stand
 * where it is declared itself.
 */
function memberOf(
  { to }: EntityKey & { readonly type: "members" },
  node: TreeNode,
): RawReference["target"] | undefined {
  const text = textOf(node);
  if (text !== undefined) return { by: "text", text };
  if (node.type !== "map") return undefined;
  const known = keysOf(to);
  for (const key of node.entries.keys())
    if (key !== "name" && !known.has(key)) return undefined;
  const id = textOf(node.entries.get("id")?.value);
  if (id !== undefined)
    return isUuid(id) ? { by: "id", id: id.toLowerCase() } : undefined;
  for (const key of ["name", ...NAME_KEYS[to]]) {
    const name = textOf(node.entries.get(key)?.value);
    if (name !== undefined) return { by: "name", name };
  }
  return undefined;
}

function shown(target: RawReference["target"]): string {
  const text =
    target.by === "text"
      ? target.text
      : target.by === "id"
        ? target.id
        : target.name;
  return JSON.stringify(shorten(text));
}
