import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Alias,
  type Document,
  type Node,
  type Scalar,
  type YAMLMap,
} from "yaml";
import {
  inside,
  item,
  problemAt,
  type Report,
  type Subject,
} from "./report.ts";
import { scalarValue, unstorable } from "./scalar-node.ts";
import {
  isNull,
  MAX_DEPTH,
  measure,
  nothing,
  shorten,
  type MapEntry,
  type MapNode,
  type ScalarNode,
  type TreeNode,
} from "./tree.ts";

/** How many characters aliases and merge keys may add to a document: enough for any file, too few for an alias bomb. */
const MAX_ALIASED_WEIGHT = 32 * 1024 * 1024;

const TAG_PREFIX = "tag:yaml.org,2002:";

interface Builder {
  readonly report: Report;
  /** Where the file starts among all: what is added to every offset of it. */
  readonly base: number;
  /** What an anchor names; undefined while it is being built. */
  readonly anchors: Map<string, TreeNode | undefined>;
  aliasedWeight: number;
  /** Set when a bound is passed: what is built from then on is not used. */
  exhausted: boolean;
}

/**
 * Turns a composed document into a tree: scalars read, aliases followed, merge keys merged. Undefined when a bound is
 * passed. Offsets count from `base`.
 */
export function buildTree(
  document: Document,
  base: number,
  subject: Subject,
  report: Report,
): TreeNode | undefined {
  const builder: Builder = {
    report,
    base,
    anchors: new Map(),
    aliasedWeight: 0,
    exhausted: false,
  };
  const root = build(builder, document.contents, base, subject);
  return builder.exhausted ? undefined : root;
}

function build(
  builder: Builder,
  node: unknown,
  fallbackOffset: number,
  subject: Subject,
): TreeNode {
  if (builder.exhausted) return nothing(fallbackOffset);
  if (isAlias(node)) return follow(builder, node, subject);
  if (!isScalar(node) && !isMap(node) && !isSeq(node))
    return nothing(fallbackOffset);
  const offset = offsetOf(builder, node) ?? fallbackOffset;
  if (node.anchor !== undefined) builder.anchors.set(node.anchor, undefined);
  const built = buildHere(builder, node, offset, subject);
  if (node.anchor !== undefined) builder.anchors.set(node.anchor, built);
  if (built.height > MAX_DEPTH)
    exhaust(
      builder,
      subject,
      offset,
      `nested more than ${MAX_DEPTH} levels deep, aliases followed`,
    );
  return built;
}

function offsetOf({ base }: Builder, { range }: Node): number | undefined {
  return range == null ? undefined : base + range[0];
}

function buildHere(
  builder: Builder,
  node: Node,
  offset: number,
  subject: Subject,
): TreeNode {
  if (isScalar(node)) return buildScalar(builder, node, offset, subject);
  if (isMap(node)) return buildMap(builder, node, offset, subject);
  if (!isSeq(node)) return nothing(offset);
  warnOfTag(builder, node.tag, ["seq"], offset, subject);
  const items = node.items.map((child, index) =>
    build(builder, child, offset, item(subject, index)),
  );
  return { type: "list", items, offset, ...measure(items) };
}

function exhaust(
  builder: Builder,
  subject: Subject,
  offset: number,
  message: string,
): void {
  if (!builder.exhausted)
    builder.report.problems.push(problemAt(subject, offset, message));
  builder.exhausted = true;
}

function follow(builder: Builder, alias: Alias, subject: Subject): TreeNode {
  const offset = offsetOf(builder, alias) ?? builder.base;
  const known = builder.anchors.has(alias.source);
  const target = builder.anchors.get(alias.source);
  if (target === undefined) {
    builder.report.problems.push(
      problemAt(
        subject,
        offset,
        known
          ? `the alias *${shorten(alias.source)} stands inside what it names`
          : `no anchor &${shorten(alias.source)} stands before this alias`,
      ),
    );
    return nothing(offset);
  }
  return spend(builder, target.weight, offset, subject)
    ? { ...target, offset }
    : nothing(offset);
}

function spend(
  builder: Builder,
  weight: number,
  offset: number,
  subject: Subject,
): boolean {
  builder.aliasedWeight += weight;
  if (builder.aliasedWeight > MAX_ALIASED_WEIGHT)
    exhaust(
      builder,
      subject,
      offset,
      `aliases and merge keys add more than ${MAX_ALIASED_WEIGHT} characters to the file`,
    );
  return !builder.exhausted;
}

function buildScalar(
  builder: Builder,
  node: Scalar,
  offset: number,
  subject: Subject,
): ScalarNode {
  const text =
    typeof node.value === "string" ? node.value : (node.source ?? "");
  const value = scalarValue(node, text);
  warnOfTag(
    builder,
    node.tag,
    ["str", "int", "float", "bool", "null"],
    offset,
    subject,
  );
  const reason = unstorable(value);
  if (reason !== undefined)
    builder.report.problems.push(problemAt(subject, offset, reason));
  return {
    type: "scalar",
    value: reason === undefined ? value : null,
    text,
    offset,
    height: 0,
    weight: 16 + text.length,
  };
}

function warnOfTag(
  builder: Builder,
  tag: string | undefined,
  known: readonly string[],
  offset: number,
  subject: Subject,
): void {
  if (tag === undefined || tag === "!") return;
  if (known.some((name) => tag === `${TAG_PREFIX}${name}`)) return;
  builder.report.warnings.push(
    problemAt(subject, offset, `the tag ${shorten(tag)} is ignored`),
  );
}

function buildMap(
  builder: Builder,
  node: YAMLMap,
  offset: number,
  subject: Subject,
): MapNode {
  warnOfTag(builder, node.tag, ["map"], offset, subject);
  const entries = new Map<string, MapEntry>();
  const merges: TreeNode[] = [];
  for (const pair of node.items) {
    const key = build(builder, pair.key, offset, subject);
    if (isMergeKey(pair.key)) {
      merges.push(build(builder, pair.value, key.offset, subject));
      continue;
    }
    const name = keyText(builder, key, subject);
    const value = build(
      builder,
      pair.value,
      key.offset,
      inside(subject, name ?? "?"),
    );
    if (name === undefined) continue;
    warnOfRepeated(builder, entries.get(name), name, key.offset, subject);
    entries.set(name, { keyOffset: key.offset, value });
  }
  for (const merge of merges) mergeInto(builder, entries, merge, subject);
  return {
    type: "map",
    entries,
    offset,
    ...measure([...entries.values()].map(({ value }) => value)),
  };
}

function isMergeKey(key: unknown): boolean {
  return isScalar(key) && key.type === "PLAIN" && key.value === "<<";
}

function keyText(
  builder: Builder,
  key: TreeNode,
  subject: Subject,
): string | undefined {
  const reason =
    key.type !== "scalar"
      ? `a key must be text, not a ${key.type}`
      : key.text === "__proto__"
        ? `"__proto__" cannot be a key`
        : undefined;
  if (reason !== undefined)
    builder.report.problems.push(problemAt(subject, key.offset, reason));
  return reason === undefined && key.type === "scalar" ? key.text : undefined;
}

function warnOfRepeated(
  builder: Builder,
  earlier: MapEntry | undefined,
  name: string,
  offset: number,
  subject: Subject,
): void {
  if (earlier === undefined) return;
  const { line, column } = subject.source.position(earlier.keyOffset);
  builder.report.warnings.push(
    problemAt(
      inside(subject, name),
      offset,
      `the key is repeated: this one is used, the one at ${line}:${column} is not`,
    ),
  );
}

/** `<<`: what is written out wins over what is merged, and of several merged maps the earlier one. */
function mergeInto(
  builder: Builder,
  entries: Map<string, MapEntry>,
  merge: TreeNode,
  subject: Subject,
): void {
  const maps = merge.type === "list" ? merge.items : [merge];
  for (const map of maps) {
    if (isNull(map)) continue;
    if (map.type !== "map") {
      builder.report.problems.push(
        problemAt(
          inside(subject, "<<"),
          map.offset,
          `expected a map or a list of maps to merge, got a ${map.type}`,
        ),
      );
      continue;
    }
    if (!spend(builder, map.weight, map.offset, subject)) return;
    for (const [name, entry] of map.entries)
      if (!entries.has(name)) entries.set(name, entry);
  }
}
