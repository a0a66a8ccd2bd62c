import { kindOf, KINDS, pluralOf } from "../kinds.ts";
import { DECK_KEYS, type DeckSettings } from "./deck.ts";
import type { ReadDocument } from "./document.ts";
import { FORMATS, type Format } from "./migrate-path.ts";
import type { Collector, RawEntity } from "./raw-entity.ts";
import { readEntities } from "./read-entity.ts";
import { didYouMean } from "./read-field.ts";
import { inside, problemAt, type Report, type Subject } from "./report.ts";
import {
  describeNode,
  isEmpty,
  isNull,
  listItems,
  type MapEntry,
  type TreeNode,
} from "./tree.ts";
import { REMARKS, unsupportedTopLevel } from "./vocabulary.ts";

const FORMAT_KEY = "_format_version";
const TRANSFORM_KEY = "_transform";

/** All entities of one file. */
export function readFile(
  { root, subject }: ReadDocument,
  deck: DeckSettings,
  report: Report,
): RawEntity[] {
  if (root === undefined) return [];
  if (root.type !== "map") {
    const got = isNull(root)
      ? "the file is empty: expected"
      : `the file is ${describeNode(root, true)}: expected`;
    report.problems.push(
      problemAt(
        subject,
        root.offset,
        `${got} a map with ${FORMAT_KEY} and lists such as "services"`,
      ),
    );
    return [];
  }
  const entities: RawEntity[] = [];
  const collector = {
    settings: {
      format: readFormat(root.entries.get(FORMAT_KEY), root, subject, report),
      transform: readTransform(
        root.entries.get(TRANSFORM_KEY),
        subject,
        report,
      ),
      deck,
    },
    entities,
    report,
  };
  for (const [key, entry] of root.entries)
    readTopLevel(key, entry, subject, collector);
  return entities;
}

/** The file's format; 3.0 when it has none that is known, so that the rest is read all the same. */
function readFormat(
  entry: MapEntry | undefined,
  root: TreeNode,
  subject: Subject,
  report: Report,
): Format {
  const at = inside(subject, FORMAT_KEY);
  const known = FORMATS.map((format) => `"${format}"`).join(", ");
  if (entry === undefined || isNull(entry.value)) {
    report.problems.push(
      problemAt(at, root.offset, `is missing: one of ${known}`),
    );
    return "3.0";
  }
  const { value: node } = entry;
  const format = FORMATS.find(
    (version) => node.type === "scalar" && node.value === version,
  );
  if (format !== undefined) return format;
  const quoted =
    node.type === "scalar" && typeof node.value === "number"
      ? `expected a string, got the number ${node.text}; put it in quotes: "${node.text}"`
      : `expected one of ${known}, got ${describeNode(node, false)}`;
  report.problems.push(problemAt(at, node.offset, quoted));
  return "3.0";
}

function readTransform(
  entry: MapEntry | undefined,
  subject: Subject,
  report: Report,
): boolean {
  if (entry === undefined || isNull(entry.value)) return true;
  const { value: node } = entry;
  if (node.type === "scalar" && typeof node.value === "boolean")
    return node.value;
  report.problems.push(
    problemAt(
      inside(subject, TRANSFORM_KEY),
      node.offset,
      `expected true or false, got ${describeNode(node, false)}`,
    ),
  );
  return true;
}

function readTopLevel(
  key: string,
  entry: MapEntry,
  subject: Subject,
  collector: Collector,
): void {
  if (key === FORMAT_KEY || key === TRANSFORM_KEY) return;
  if (REMARKS.has(key) || DECK_KEYS.has(key)) return;
  const at = inside(subject, key);
  const kind = kindOf(key);
  if (kind !== undefined && key === pluralOf(kind)) {
    readEntities(kind, entry.value, at, undefined, collector);
    return;
  }
  const { problems, warnings } = collector.report;
  if (isNull(entry.value)) return;
  if (key === "parameters" && isClusterId(entry.value)) {
    warnings.push(
      problemAt(
        at,
        entry.keyOffset,
        "ignored: it only names the Kong cluster that the file was exported from",
      ),
    );
    return;
  }
  const reason = unsupportedTopLevel(key);
  if (reason !== undefined && isEmpty(entry.value)) return;
  problems.push(
    problemAt(
      at,
      entry.keyOffset,
      reason ??
        `unknown key at the top of the file${didYouMean(key, topLevelKeys)}`,
    ),
  );
}

const topLevelKeys = [
  FORMAT_KEY,
  TRANSFORM_KEY,
  ...DECK_KEYS,
  ...KINDS.map(pluralOf),
];

/** Kong keeps one parameter: a cluster's id. Its exports have it. */
function isClusterId(node: TreeNode): boolean {
  const items = listItems(node);
  const [only] = items ?? [];
  if (items?.length !== 1 || only?.type !== "map") return false;
  return [...only.entries.keys()].every((key) =>
    ["key", "value", "created_at", "updated_at"].includes(key),
  );
}
