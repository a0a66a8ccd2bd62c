import { isUuid } from "../ids.ts";
import { pluralOf, type Kind } from "../kinds.ts";
import type { Collector, RawEntity, RawReference } from "./raw-entity.ts";
import { didYouMean, readField, type Init } from "./read-field.ts";
import {
  inside,
  item,
  problemAt,
  type Report,
  type Subject,
} from "./report.ts";
import { addSelectTags, withDeckSettings } from "./deck-entity.ts";
import { readMembers } from "./read-members.ts";
import { readTarget } from "./read-reference.ts";
import { checkCredential, readPaths } from "./special-fields.ts";
import {
  describeNode,
  isEmpty,
  isNull,
  listItems,
  mapEntries,
  shorten,
  type MapEntry,
  type TreeNode,
} from "./tree.ts";
import {
  keysOf,
  NAME_KEYS,
  unsupportedInEntity,
  type EntityKey,
} from "./vocabulary.ts";

/** Reads a list of entities and all that is nested in them. */
export function readEntities(
  kind: Kind,
  node: TreeNode,
  listSubject: Subject,
  parent: RawEntity["parent"],
  collector: Collector,
): void {
  if (isNull(node)) return;
  // Inside its list an entity is a subject of its own: fields count from there.
  const subject = { ...listSubject, entity: "", field: "" };
  const items = listItems(node);
  if (items === undefined) {
    collector.report.problems.push(
      problemAt(
        listSubject,
        node.offset,
        `expected a list of ${pluralOf(kind)}, got ${describeNode(node, false)}`,
      ),
    );
    return;
  }
  for (const [index, child] of items.entries())
    readEntity(kind, child, index, item(subject, index), parent, collector);
}

function readEntity(
  kind: Kind,
  node: TreeNode,
  index: number,
  bare: Subject,
  parent: RawEntity["parent"],
  collector: Collector,
): void {
  const own = mapEntries(named(kind, node, parent));
  const subject = { ...bare, entity: labelOf(kind, own, index) };
  if (own === undefined) {
    collector.report.problems.push(
      problemAt(
        subject,
        node.offset,
        `expected a map, got ${describeNode(node, true)}`,
      ),
    );
    return;
  }
  const entries = withDeckSettings(kind, own, subject, collector);
  const read = readKeys(kind, entries, subject, collector);
  addSelectTags(kind, read.own.init, collector);
  const credential = checkCredential(
    kind,
    entries,
    subject,
    node.offset,
    collector,
  );
  const entity: RawEntity = {
    kind,
    entries,
    ...read.own,
    flawed: new Set([...read.own.flawed, ...credential]),
    ...(parent === undefined ? {} : { parent }),
    subject,
    offset: node.offset,
  };
  collector.entities.push(entity);
  for (const { key, entry, child } of read.children)
    if (child.type === "members")
      readMembers(child, entry.value, inside(subject, key), entity, collector);
    else
      readEntities(
        child.kind,
        entry.value,
        inside(subject, key),
        { entity, field: child.field },
        collector,
      );
}

/** A certificate's SNIs may be written as bare names, as in Kong's Admin API. */
function named(
  kind: Kind,
  node: TreeNode,
  parent: RawEntity["parent"],
): TreeNode {
  if (kind !== "sni" || parent === undefined) return node;
  if (node.type !== "scalar" || typeof node.value !== "string") return node;
  const { offset, weight } = node;
  const entries = new Map([["name", { keyOffset: offset, value: node }]]);
  return { type: "map", entries, offset, weight, height: 1 };
}

function labelOf(
  kind: Kind,
  entries: ReadonlyMap<string, MapEntry> | undefined,
  index: number,
): string {
  for (const key of NAME_KEYS[kind]) {
    const node = entries?.get(key)?.value;
    if (
      node?.type === "scalar" &&
      typeof node.value === "string" &&
      node.value !== ""
    )
      return `${kind} ${JSON.stringify(shorten(node.value))}`;
  }
  return `${kind} #${index + 1}`;
}

interface ReadKeys {
  readonly own: Pick<RawEntity, "id" | "init" | "flawed" | "references">;
  readonly children: readonly {
    readonly key: string;
    readonly entry: MapEntry;
    readonly child: EntityKey & { readonly type: "children" | "members" };
  }[];
}

function readKeys(
  kind: Kind,
  entries: ReadonlyMap<string, MapEntry>,
  subject: Subject,
  collector: Collector,
): ReadKeys {
  const { report } = collector;
  let id = "";
  const init: Init = {};
  const references: RawReference[] = [];
  const children: ReadKeys["children"][number][] = [];
  const flawed = new Set<string>();
  for (const [key, entry] of entries) {
    const known = keysOf(kind).get(key);
    const at = inside(subject, key);
    const problemsBefore = report.problems.length;
    switch (known?.type) {
      case undefined:
        refuseKey(kind, key, entry, at, report);
        break;
      case "remark":
      case "time":
        break;
      case "id":
        id = readId(entry.value, at, report);
        break;
      case "reference": {
        const reference = readReference(known, entry.value, at, report);
        if (reference !== undefined) references.push(reference);
        break;
      }
      case "children":
      case "members":
        children.push({ key, entry, child: known });
        break;
      case "field": {
        const value =
          kind === "route" && key === "paths"
            ? readPaths(known.field, entry.value, at, collector)
            : readField(known.field, entry.value, at, report);
        if (value !== undefined) init[known.field.localName] = value;
        break;
      }
      default:
        known satisfies never;
    }
    if (report.problems.length > problemsBefore) flawed.add(key);
  }
  return { own: { id, init, flawed, references }, children };
}

function refuseKey(
  kind: Kind,
  key: string,
  entry: MapEntry,
  subject: Subject,
  report: Report,
): void {
  // Exports write out what they do not have as null or as an empty list; nothing is lost with it.
  const reason = unsupportedInEntity(kind, key);
  if (isNull(entry.value) || (reason !== undefined && isEmpty(entry.value)))
    return;
  const message = reason ?? `unknown field${hintFor(kind, key)}`;
  report.problems.push(problemAt(subject, entry.keyOffset, message));
}

function hintFor(kind: Kind, key: string): string {
  const meant = didYouMean(key, keysOf(kind).keys());
  if (meant !== "") return meant;
  if (kind === "plugin")
    return `; a plugin's own settings stand under "config"`;
  const owner = (["route", "service"] as const).find(
    (other) => other !== kind && keysOf(other).get(key)?.type === "field",
  );
  return owner === undefined ? "" : `; it is a field of a ${owner}`;
}

function readId(node: TreeNode, subject: Subject, report: Report): string {
  if (isNull(node)) return "";
  if (
    node.type === "scalar" &&
    typeof node.value === "string" &&
    isUuid(node.value)
  )
    return node.value.toLowerCase();
  report.problems.push(
    problemAt(
      subject,
      node.offset,
      `expected a UUID, got ${describeNode(node, false)}`,
    ),
  );
  return "";
}

function readReference(
  { field, to }: EntityKey & { readonly type: "reference" },
  node: TreeNode,
  subject: Subject,
  report: Report,
): RawReference | undefined {
  if (isNull(node)) return undefined;
  const target = readTarget(node);
  if (target !== undefined)
    return { field, to, target, subject, offset: node.offset };
  report.problems.push(
    problemAt(
      subject,
      node.offset,
      `expected a ${to}'s name or id, {name: …} or {id: …}, got ${describeNode(node, false)}`,
    ),
  );
  return undefined;
}
