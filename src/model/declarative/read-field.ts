import {
  create,
  getOption,
  ScalarType,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Message,
} from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { secret } from "../../gen/holdfast/config/v1/options_pb.js";
import { HeaderValuesSchema } from "../../gen/holdfast/config/v1/route_pb.js";
import {
  inside,
  item,
  problemAt,
  type Report,
  type Subject,
} from "./report.ts";
import { isVaultReference } from "../vault-reference.ts";
import { referenceHint } from "../vault-references.ts";
import { nearest } from "./suggest.ts";
import {
  describeNode,
  isNull,
  listItems,
  mapEntries,
  type MapEntry,
  type TreeNode,
} from "./tree.ts";

/** A message's initial values by the names of generated code: what `create` takes. */
export type Init = Record<string, unknown>;

/**
 * Reads one field of a resource as Kong writes it. Undefined when the file says nothing (null) or something wrong; the
 * report says what.
 */
export function readField(
  field: DescField,
  node: TreeNode,
  subject: Subject,
  report: Report,
): unknown {
  if (isNull(node)) return undefined;
  switch (field.fieldKind) {
    case "list":
      return readList(field, node, subject, report);
    case "map":
      return readMap(field, node, subject, report);
    default:
      return readOne(field, node, subject, report);
  }
}

/** Reads a single value, or one item of a list or map. */
function readOne(
  field: DescField,
  node: TreeNode,
  subject: Subject,
  report: Report,
): unknown {
  if (field.message !== undefined)
    return readSub(field.message, node, subject, report);
  const read = readScalar(field, node);
  if (!("problem" in read)) return read.value;
  report.problems.push(problemAt(subject, node.offset, read.problem));
  return undefined;
}

function readList(
  field: DescField,
  node: TreeNode,
  subject: Subject,
  report: Report,
): unknown[] | undefined {
  const items = listItems(node);
  if (items === undefined) {
    const example =
      node.type === "scalar" && field.message === undefined
        ? `; write it as [${describeNode(node, getOption(field, secret))}]`
        : "";
    refuse("a list", field, node, subject, report, example);
    return undefined;
  }
  return items
    .map((child, index) => readOne(field, child, item(subject, index), report))
    .filter((value) => value !== undefined);
}

function readMap(
  field: DescField,
  node: TreeNode,
  subject: Subject,
  report: Report,
): Init | undefined {
  const entries = mapEntries(node);
  if (entries === undefined) {
    refuse("a map", field, node, subject, report);
    return undefined;
  }
  const values: Init = {};
  for (const [key, { value }] of entries) {
    if (isNull(value)) continue;
    const read = readOne(field, value, inside(subject, key), report);
    if (read !== undefined) values[key] = read;
  }
  return values;
}

function readSub(
  desc: DescMessage,
  node: TreeNode,
  subject: Subject,
  report: Report,
): JsonObject | Message | undefined {
  // Kong writes the values of a header as a list, protobuf cannot have lists in maps.
  if (desc.typeName === HeaderValuesSchema.typeName) {
    const values = desc.field["values"];
    if (values === undefined) throw new TypeError("HeaderValues has no values");
    const read = readList(values, node, subject, report);
    return read && create(desc, { values: read });
  }
  const entries = mapEntries(node);
  if (entries === undefined) {
    report.problems.push(
      problemAt(
        subject,
        node.offset,
        `expected a map, got ${describeNode(node, false)}`,
      ),
    );
    return undefined;
  }
  if (desc.typeName === StructSchema.typeName) return readStruct(entries);
  return create(desc, readFields(desc, entries, subject, report));
}

/** Reads all fields of a message that is not a resource. */
function readFields(
  desc: DescMessage,
  entries: ReadonlyMap<string, MapEntry>,
  subject: Subject,
  report: Report,
): Init {
  const init: Init = {};
  for (const [key, entry] of entries) {
    const field = desc.fields.find(({ name }) => name === key);
    if (field !== undefined) {
      const value = readField(field, entry.value, inside(subject, key), report);
      if (value !== undefined) init[field.localName] = value;
      continue;
    }
    if (isNull(entry.value)) continue;
    const hint = didYouMean(
      key,
      desc.fields.map(({ name }) => name),
    );
    report.problems.push(
      problemAt(inside(subject, key), entry.keyOffset, `unknown field${hint}`),
    );
  }
  return init;
}

/** "; did you mean …?" or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const near = nearest(word, candidates);
  return near === undefined ? "" : `; did you mean "${near}"?`;
}

/** The configuration of a plugin: any JSON, nulls included, as the plugin's own message gives them a meaning. */
function readStruct(entries: ReadonlyMap<string, MapEntry>): JsonObject {
  return Object.fromEntries(
    [...entries].map(([key, { value }]) => [key, readJson(value)]),
  );
}

function readJson(node: TreeNode): JsonValue {
  switch (node.type) {
    case "scalar":
      return node.value;
    case "list":
      return node.items.map(readJson);
    case "map":
      return readStruct(node.entries);
    default:
      return node satisfies never;
  }
}

function refuse(
  expected: string,
  field: DescField,
  node: TreeNode,
  subject: Subject,
  report: Report,
  hint = "",
): void {
  const got = describeNode(node, getOption(field, secret));
  report.problems.push(
    problemAt(subject, node.offset, `expected ${expected}, got ${got}${hint}`),
  );
}

type ReadScalar =
  | { readonly value: string | number | bigint | boolean }
  | { readonly problem: string };

function readScalar(field: DescField, node: TreeNode): ReadScalar {
  const value = node.type === "scalar" ? node.value : undefined;
  const got = describeNode(node, getOption(field, secret));
  switch (field.scalar) {
    case ScalarType.STRING:
      if (typeof value === "string")
        // Whether a list may have empty items is for the rules of its kind to say.
        return value === "" && field.fieldKind !== "list"
          ? { problem: "must not be empty; leave it out, or write null" }
          : { value };
      return {
        problem: `expected a string, got ${got}${value == null ? "" : "; put it in quotes"}`,
      };
    case ScalarType.BOOL:
      return typeof value === "boolean"
        ? { value }
        : { problem: `expected true or false, got ${got}${unquote(value)}` };
    case ScalarType.DOUBLE:
      return typeof value === "number"
        ? { value }
        : { problem: `expected a number, got ${got}${unquote(value)}` };
    case ScalarType.INT32:
      return whole(value, got, -(2 ** 31), 2 ** 31 - 1);
    case ScalarType.UINT64: {
      const read = whole(value, got, 0, Number.MAX_SAFE_INTEGER);
      return "value" in read ? { value: BigInt(read.value) } : read;
    }
    default:
      throw new TypeError(`no file can give ${String(field)}`);
  }
}

function whole(
  value: unknown,
  got: string,
  least: number,
  most: number,
): { readonly value: number } | { readonly problem: string } {
  if (typeof value !== "number" || !Number.isInteger(value))
    return { problem: `expected a whole number, got ${got}${unquote(value)}` };
  // Adding 0 turns -0 into 0.
  return value >= least && value <= most
    ? { value: value + 0 }
    : {
        problem: `expected a whole number from ${least} to ${most}, got ${got}`,
      };
}

/** What to do about text where it should be something else. */
function unquote(value: unknown): string {
  if (typeof value !== "string") return "";
  if (/^(true|false|[-+]?\d+(\.\d+)?)$/.test(value))
    return "; take the quotes away";
  if (isVaultReference(value)) return referenceHint(value);
  return /\$\{|\$[A-Za-z_]|\{\{/.test(value)
    ? "; placeholders are plain text here, put in the value before applying"
    : "";
}
