import {
  getOption,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
} from "@bufbuild/protobuf";
import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import { output_only } from "../gen/holdfast/config/v1/options_pb.js";
import { PluginSchema } from "../gen/holdfast/config/v1/plugin_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { kindOfResource, type Kind } from "./kinds.ts";
import { copyOf, reflectKind } from "./messages.ts";
import { knownPlugin } from "./plugins.ts";

/** A resource with some of its fields changed, or what is wrong with the paths. */
export interface Masked {
  readonly resource: Resource;
  readonly problems: readonly string[];
}

/** Whether a mask changes only some fields: no paths, or "*", stand for all. */
export function isPartial(paths: readonly string[] | undefined): boolean {
  return paths !== undefined && paths.length > 0 && !paths.includes("*");
}

/** Whether a mask changes only some fields, and this one of its kind among them. */
export function masksField(
  paths: readonly string[] | undefined,
  kind: Kind,
  field: string,
): boolean {
  return (
    paths !== undefined &&
    isPartial(paths) &&
    paths.some((path) => path === field || path === `${kind}.${field}`)
  );
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
  for (const path of new Set(paths)) {
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
  if (field.message.typeName === STRUCT)
    return changeJson(to, from, field, rest);
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

const STRUCT = "google.protobuf.Struct";

/** Structs are plain objects in generated code. */
function changeJson(
  to: ReflectMessage,
  from: ReflectMessage,
  { localName }: DescField,
  path: readonly string[],
): string | undefined {
  const source = plain(from)[localName];
  const target = plain(to);
  const steps = stepsOf(configSchema(to), path);
  // Where no schema says what there may be, a path to nothing on either side is a slip, not a wish.
  if (
    steps === undefined ||
    (steps.some(({ declared }) => !declared) &&
      !has(target[localName], steps) &&
      !has(source, steps))
  )
    return "names no field of the configuration";
  target[localName] = withPath(target[localName], source, steps);
  return undefined;
}

/** The message of a known plugin's configuration. */
function configSchema(owner: ReflectMessage): DescMessage | undefined {
  if (owner.desc.typeName !== PluginSchema.typeName) return undefined;
  const { name } = plain(owner);
  return typeof name === "string" ? knownPlugin(name)?.schema : undefined;
}

/** A key on the way into a configuration. */
interface Step {
  readonly key: string;
  /** The other spelling that a configuration may have it in; the same when there is none. */
  readonly alias: string;
  /** Whether a schema has it. */
  readonly declared: boolean;
}

/** @returns Undefined when the schema leads nowhere by that path. */
function stepsOf(
  schema: DescMessage | undefined,
  path: readonly string[],
): readonly Step[] | undefined {
  if (schema === undefined)
    return path.map((key) => ({ key, alias: key, declared: false }));
  const [key, ...rest] = path;
  if (key === undefined) return [];
  const field = schema.fields.find(
    (one) => one.name === key || one.jsonName === key,
  );
  if (field === undefined) return undefined;
  const goesOn = field.fieldKind === "message" || field.fieldKind === "map";
  if (rest.length > 0 && !goesOn) return undefined;
  const inner =
    field.fieldKind === "message" && field.message.typeName !== STRUCT
      ? field.message
      : undefined;
  const more = stepsOf(inner, rest);
  return (
    more && [
      { key: field.name, alias: field.jsonName, declared: true },
      ...more,
    ]
  );
}

function has(json: JsonValue | undefined, steps: readonly Step[]): boolean {
  let at = json;
  for (const step of steps) at = valueAt(at, step);
  return at !== undefined;
}

function valueAt(
  json: JsonValue | undefined,
  { key, alias }: Step,
): JsonValue | undefined {
  if (!isObject(json)) return undefined;
  const spelled = [key, alias].find((name) => Object.hasOwn(json, name));
  return spelled === undefined ? undefined : json[spelled];
}

function plain({ message }: ReflectMessage): Record<string, JsonValue> {
  return message as typeof message & Record<string, JsonValue>;
}

function withPath(
  to: JsonValue | undefined,
  from: JsonValue | undefined,
  [step, ...rest]: readonly Step[],
): JsonObject {
  const base = isObject(to) ? to : {};
  if (step === undefined) return base;
  const given = valueAt(from, step);
  const value =
    rest.length === 0 ? given : withPath(valueAt(base, step), given, rest);
  const others = Object.entries(base).filter(
    ([name]) => name !== step.key && name !== step.alias,
  );
  return Object.fromEntries(
    value === undefined ? others : [...others, [step.key, value]],
  );
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
