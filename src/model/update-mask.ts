import {
  getOption,
  type DescField,
  type JsonObject,
  type JsonValue,
} from "@bufbuild/protobuf";
import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import { output_only } from "../gen/holdfast/config/v1/options_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { kindOfResource } from "./kinds.ts";
import { copyOf, reflectKind } from "./messages.ts";

/** A resource with some of its fields changed, or what is wrong with the paths. */
export interface Masked {
  readonly resource: Resource;
  readonly problems: readonly string[];
}

/** Whether a mask changes only some fields: no paths, or "*", stand for all. */
export function isPartial(paths: readonly string[] | undefined): boolean {
  return paths !== undefined && paths.length > 0 && !paths.includes("*");
}

/**
 * The stored resource with the fields that the paths name as they are in the given one, or unset where they are unset
 * there. Both are of one kind.
 */
export function withMask(
  stored: Resource,
  given: Resource,
  paths: readonly string[],
): Masked {
  const resource = copyOf(stored);
  const to = reflectKind(resource);
  const from = reflectKind(copyOf(given));
  const kind = kindOfResource(stored);
  if (to === undefined || from === undefined || kind === undefined)
    throw new TypeError("a resource without a kind has no fields");
  const problems: string[] = [];
  for (const path of paths) {
    const [first = "", ...rest] = path.split(".");
    // "service.host" as good as "host": that is where the field is in the request.
    const prefixed =
      first === kind && !to.fields.some((field) => field.name === first);
    const problem = change(to, from, prefixed ? rest : [first, ...rest]);
    if (problem !== undefined)
      problems.push(`${JSON.stringify(path)} ${problem}`);
  }
  // A digest belongs to what it was made from.
  if (
    resource.kind.case === "caCertificate" &&
    given.kind.case === "caCertificate" &&
    resource.kind.value.cert === given.kind.value.cert
  )
    resource.kind.value.certDigest = given.kind.value.certDigest;
  return { resource, problems };
}

/** @returns What is wrong with the path. */
function change(
  to: ReflectMessage,
  from: ReflectMessage,
  [name = "", ...rest]: readonly string[],
): string | undefined {
  const field = to.fields.find((one) => one.name === name);
  if (field === undefined)
    return `names no field: ${to.desc.name} has ${to.fields.map((one) => one.name).join(", ")}`;
  if (name === "id") return "cannot be changed: it says which resource it is";
  if (getOption(field, output_only)) return "is not for callers to change";
  if (rest.length === 0 || isReference(field)) {
    const [deeper = "id", ...more] = rest;
    if (!["id", "name"].includes(deeper) || more.length > 0)
      return "names no field: a reference has an id or a name";
    if (from.isSet(field)) to.set(field, from.get(field));
    else to.clear(field);
    return undefined;
  }
  if (field.fieldKind !== "message")
    return `goes on after ${name}, which is changed as a whole`;
  if (field.message.typeName === "google.protobuf.Struct") {
    changeJson(to, from, field, rest);
    return undefined;
  }
  const inner = to.get(field);
  const problem = change(inner, from.get(field), rest);
  if (problem === undefined) to.set(field, inner);
  return problem;
}

function isReference(field: DescField): boolean {
  return (
    field.fieldKind === "message" &&
    field.message.typeName === "holdfast.config.v1.Reference"
  );
}

/** Structs are plain objects in generated code. */
function changeJson(
  to: ReflectMessage,
  from: ReflectMessage,
  { localName }: DescField,
  path: readonly string[],
): void {
  const source = plain(from)[localName];
  const target = plain(to);
  target[localName] = withPath(target[localName], source, path);
}

function plain({ message }: ReflectMessage): Record<string, JsonValue> {
  return message as typeof message & Record<string, JsonValue>;
}

function withPath(
  to: JsonValue | undefined,
  from: JsonValue | undefined,
  [key = "", ...rest]: readonly string[],
): JsonObject {
  const base = isObject(to) ? to : {};
  const given =
    isObject(from) && Object.hasOwn(from, key) ? from[key] : undefined;
  const value =
    rest.length === 0
      ? given
      : withPath(Object.hasOwn(base, key) ? base[key] : undefined, given, rest);
  const others = Object.entries(base).filter(([name]) => name !== key);
  return Object.fromEntries(
    value === undefined ? others : [...others, [key, value]],
  );
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
