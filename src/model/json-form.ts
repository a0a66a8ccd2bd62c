import {
  fromJson,
  ScalarType,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  DurationSchema,
  FieldMaskSchema,
  StructSchema,
  TimestampSchema,
} from "@bufbuild/protobuf/wkt";
import { join, show, type Problem } from "./problem.ts";

/** How deep a Struct may nest. Many protobuf decoders give up at 100 messages, and each level of a Struct is three. */
const MAX_STRUCT_DEPTH = 30;

/** A message read from JSON, or everything that keeps it from being read. */
export type ReadJson<Desc extends DescMessage> =
  | { readonly ok: true; readonly message: MessageShape<Desc> }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Reads a message from JSON (both spellings of field names). Unlike protobuf's own reader it finds all problems at once
 * and says where they are.
 */
export function readJson<Desc extends DescMessage>(
  desc: Desc,
  json: JsonValue,
): ReadJson<Desc> {
  const problems: Problem[] = [];
  checkMessage(desc, json, "", problems);
  if (problems.length > 0) return { ok: false, problems };
  try {
    return {
      ok: true,
      message: fromJson(desc, withoutNulls(json)),
    };
  } catch (error) {
    return { ok: false, problems: [{ field: "", reason: reasonOf(error) }] };
  }
}

/** Protobuf takes a null for unset, but not beside another field of the same oneof. */
function withoutNulls(json: JsonValue): JsonValue {
  return typeof json === "object" && !Array.isArray(json)
    ? Object.fromEntries(
        Object.entries(json ?? {}).filter(([, value]) => value !== null),
      )
    : json;
}

/** What cannot be kept in a Struct: numbers that JSON has not, a key that JavaScript loses, text that UTF-8 has not. */
export function structProblems(struct: JsonObject, path: string): Problem[] {
  const problems: Problem[] = [];
  checkStructValue(struct, path, 0, problems);
  return problems;
}

function checkMessage(
  desc: DescMessage,
  json: JsonValue,
  path: string,
  problems: Problem[],
): void {
  if (json === null) return;
  if (
    desc.typeName.startsWith("google.protobuf.") &&
    desc.typeName !== StructSchema.typeName
  ) {
    checkWellKnown(desc, json, path, problems);
    return;
  }
  if (typeof json !== "object" || Array.isArray(json)) {
    problems.push({
      field: path,
      reason: `must be an object, got ${show(json)}`,
    });
    return;
  }
  if (desc.typeName === StructSchema.typeName) {
    checkStructValue(json, path, 0, problems);
    return;
  }
  const seen = new Set<DescField>();
  for (const [key, value] of Object.entries(json)) {
    const field = desc.fields.find((f) => f.name === key || f.jsonName === key);
    if (field === undefined) {
      const reason = unknownField(desc, key);
      problems.push({ field: join(path, key), reason });
      continue;
    }
    const at = join(path, field.name);
    if (value === null) continue;
    if (seen.has(field))
      problems.push({ field: at, reason: "is given twice, in two spellings" });
    seen.add(field);
    if (field.oneof !== undefined) {
      const other = [...seen].find(
        (f) => f !== field && f.oneof === field.oneof,
      );
      if (other !== undefined)
        problems.push({
          field: at,
          reason: `cannot stand beside ${show(other.name)}: only one of them`,
        });
    }
    checkField(desc, field, value, at, problems);
  }
}

/** Lets protobuf judge a message that JSON spells in a way of its own, most often as a text. */
function checkWellKnown(
  desc: DescMessage,
  json: JsonValue,
  path: string,
  problems: Problem[],
): void {
  try {
    fromJson(desc, json);
  } catch {
    const words =
      wellKnownWords.get(desc.typeName) ?? `a ${desc.typeName} as JSON has it`;
    problems.push({
      field: path,
      reason: `must be ${words}, got ${show(json)}`,
    });
  }
}

const wellKnownWords = new Map<string, string>([
  [DurationSchema.typeName, 'a duration in seconds such as "1.5s"'],
  [TimestampSchema.typeName, 'a time such as "2026-01-31T12:00:00Z"'],
  [
    FieldMaskSchema.typeName,
    'one text of paths in lowerCamelCase such as "host,connectTimeout"',
  ],
]);

function checkField(
  desc: DescMessage,
  field: DescField,
  json: JsonValue,
  path: string,
  problems: Problem[],
): void {
  const item = (value: JsonValue, at: string): void => {
    if (field.message !== undefined)
      checkMessage(field.message, value, at, problems);
    else checkScalar(desc, field, value, at, problems);
  };
  switch (field.fieldKind) {
    case "list":
      if (Array.isArray(json))
        for (const [i, value] of json.entries()) item(value, `${path}[${i}]`);
      else
        problems.push({
          field: path,
          reason: `must be a list, got ${show(json)}`,
        });
      return;
    case "map":
      if (typeof json !== "object" || json === null || Array.isArray(json)) {
        problems.push({
          field: path,
          reason: `must be an object, got ${show(json)}`,
        });
        return;
      }
      for (const [key, value] of Object.entries(json)) {
        const at = `${path}[${JSON.stringify(key)}]`;
        if (key === PROTO_KEY)
          problems.push({ field: at, reason: PROTO_REASON });
        else if (value === null)
          problems.push({ field: at, reason: "must not be null" });
        else item(value, at);
      }
      return;
    default:
      item(json, path);
  }
}

/** Lets protobuf judge one value: it knows the ranges and which strings stand for numbers. */
function checkScalar(
  desc: DescMessage,
  field: DescField,
  json: JsonValue,
  path: string,
  problems: Problem[],
): void {
  const whole: JsonValue =
    field.fieldKind === "list"
      ? [json]
      : field.fieldKind === "map"
        ? { key: json }
        : json;
  try {
    fromJson(desc, { [field.name]: whole });
  } catch {
    problems.push({
      field: path,
      reason: `must be ${typeWords(field)}, got ${show(json)}`,
    });
  }
}

function typeWords(field: DescField): string {
  switch (field.scalar) {
    case ScalarType.STRING:
      return "text";
    case ScalarType.BOOL:
      return "true or false";
    case ScalarType.INT32:
      return "a whole number from -2147483648 to 2147483647";
    case ScalarType.UINT32:
      return "a whole number from 0 to 4294967295";
    case ScalarType.UINT64:
      return "a whole number from 0 to 18446744073709551615";
    case ScalarType.DOUBLE:
      return "a number";
    default:
      return "a value of its type";
  }
}

function unknownField(desc: DescMessage, key: string): string {
  const near = desc.fields.find(
    (field) => plain(field.name) === plain(key) || nearlyEqual(field.name, key),
  );
  return near === undefined
    ? "unknown field"
    : `unknown field, did you mean ${show(near.name)}?`;
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, "");
}

/** Whether two names differ by one letter more, less or other. */
function nearlyEqual(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1 || a.length < 4) return false;
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  const [restA, restB] = [a.slice(i), b.slice(i)];
  return (
    restA.slice(1) === restB.slice(1) ||
    restA.slice(1) === restB ||
    restA === restB.slice(1)
  );
}

function checkStructValue(
  value: JsonValue | undefined,
  path: string,
  depth: number,
  problems: Problem[],
): void {
  if (depth > MAX_STRUCT_DEPTH) {
    problems.push({
      field: path,
      reason: `is nested deeper than ${MAX_STRUCT_DEPTH} levels`,
    });
    return;
  }
  switch (typeof value) {
    case "number":
      if (!Number.isFinite(value))
        problems.push({
          field: path,
          reason: `must be a finite number, got ${value}`,
        });
      return;
    case "string":
      if (!isWellFormed(value))
        problems.push({ field: path, reason: NOT_TEXT });
      return;
    case "boolean":
      return;
    case "object":
      break;
    default:
      problems.push({
        field: path,
        reason: `must be a JSON value, got ${typeof value}`,
      });
      return;
  }
  if (value === null) return;
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries())
      checkStructValue(item, `${path}[${i}]`, depth + 1, problems);
    return;
  }
  for (const [key, item] of Object.entries(value)) {
    const at = join(path, key);
    if (key === PROTO_KEY) problems.push({ field: at, reason: PROTO_REASON });
    else if (!isWellFormed(key))
      problems.push({ field: path, reason: NOT_TEXT });
    else checkStructValue(item, at, depth + 1, problems);
  }
}

/** Whether a text has a UTF-8 form: no half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** What is said about a text that is not well-formed. */
export const NOT_TEXT = "has half of a surrogate pair, which UTF-8 cannot hold";

const PROTO_KEY = "__proto__";
const PROTO_REASON = 'a key "__proto__" cannot be stored';

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
