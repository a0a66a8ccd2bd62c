import {
  getOption,
  ScalarType,
  toJson,
  type DescField,
  type DescMessage,
} from "@bufbuild/protobuf";
import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import { FeatureSet_FieldPresence, StructSchema } from "@bufbuild/protobuf/wkt";
import {
  input_only,
  output_only,
  reference_to,
} from "../../gen/holdfast/config/v1/options_pb.js";
import {
  ReferenceSchema,
  type Reference,
} from "../../gen/holdfast/config/v1/reference_pb.js";
import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { HeaderValuesSchema } from "../../gen/holdfast/config/v1/route_pb.js";
import { isUuid } from "../ids.ts";
import { KINDS, kindOfResource, pluralOf, type Kind } from "../kinds.ts";
import { idOf, reflectKind } from "../messages.ts";
import { emitYaml, type YamlValue } from "./emit-yaml.ts";

/**
 * A file in Kong's declarative format that has these resources, in their stored form, with all their ids, defaults and
 * secrets: applied where nothing is, it makes the same entries, byte for byte. The same resources in another order give
 * the same text.
 *
 * @throws TypeError for a resource without a kind.
 */
export function serializeDeclarative(resources: Iterable<Resource>): string {
  const byKind = new Map<Kind, Resource[]>(KINDS.map((kind) => [kind, []]));
  for (const resource of resources) {
    const kind = kindOfResource(resource);
    if (kind === undefined) throw new TypeError("a resource without a kind");
    byKind.get(kind)?.push(resource);
  }
  const names = namesLikeIds(byKind);
  const root = new Map<string, YamlValue>([
    ["_format_version", "3.0"],
    ["_transform", false],
  ]);
  for (const [kind, ofKind] of byKind) {
    if (ofKind.length === 0) continue;
    ofKind.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
    root.set(
      pluralOf(kind),
      ofKind.map((resource) => entityOf(resource, names)),
    );
  }
  return emitYaml(root);
}

/** Names, as `kind/name`, that a reference by an id would be taken for: names come first there. */
function namesLikeIds(
  byKind: ReadonlyMap<Kind, readonly Resource[]>,
): ReadonlySet<string> {
  const found = new Set<string>();
  for (const [kind, resources] of byKind)
    for (const { kind: one } of resources) {
      const names =
        one.case === "consumer"
          ? [one.value.username, one.value.customId]
          : one.value !== undefined && "name" in one.value
            ? [one.value.name]
            : [];
      for (const name of names) if (isUuid(name)) found.add(`${kind}/${name}`);
    }
  return found;
}

function entityOf(
  resource: Resource,
  names: ReadonlySet<string>,
): ReadonlyMap<string, YamlValue> {
  const message = reflectKind(resource);
  if (message === undefined) throw new TypeError("a resource without a kind");
  return mapOf(message, names);
}

/** The fields of a message that say something. */
function mapOf(
  message: ReflectMessage,
  names: ReadonlySet<string>,
): ReadonlyMap<string, YamlValue> {
  const map = new Map<string, YamlValue>();
  for (const { field, isWrittenUnset } of writtenFields(message.desc))
    if (isWrittenUnset || message.isSet(field))
      map.set(field.name, valueOf(message, field, names));
  return map;
}

interface WrittenField {
  readonly field: DescField;
  readonly isWrittenUnset: boolean;
}

/** Asking for an option decodes it, every time. */
const fieldsByMessage = new Map<DescMessage, readonly WrittenField[]>();

function writtenFields(desc: DescMessage): readonly WrittenField[] {
  let fields = fieldsByMessage.get(desc);
  if (fields === undefined) {
    fields = desc.fields
      .filter(
        (field) =>
          !getOption(field, input_only) && !getOption(field, output_only),
      )
      .map((field) => ({ field, isWrittenUnset: isWrittenUnset(field) }));
    fieldsByMessage.set(desc, fields);
  }
  return fields;
}

/** Numbers and booleans that are 0 and false when nothing is said. A text that is not there is not "". */
function isWrittenUnset(field: DescField): boolean {
  return (
    field.fieldKind === "scalar" &&
    field.presence === FeatureSet_FieldPresence.IMPLICIT &&
    field.scalar !== ScalarType.STRING
  );
}

function valueOf(
  message: ReflectMessage,
  field: DescField,
  names: ReadonlySet<string>,
): YamlValue {
  switch (field.fieldKind) {
    case "scalar":
      return scalarOf(message.get(field));
    case "message":
      return subOf(message.get(field), field, names);
    case "list":
      return [...message.get(field)].map((item) =>
        isMessage(item) ? subOf(item, field, names) : scalarOf(item),
      );
    case "map":
      return sorted(
        [...message.get(field)].map(([key, item]) => [
          String(key),
          isMessage(item) ? subOf(item, field, names) : scalarOf(item),
        ]),
      );
    default:
      throw new TypeError(`no file can have ${String(field)}`);
  }
}

function isMessage(value: unknown): value is ReflectMessage {
  return typeof value === "object" && value !== null && "desc" in value;
}

function scalarOf(value: unknown): YamlValue {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      // Adding 0 turns -0 into 0, which it is stored as.
      return value + 0;
    case "bigint":
      return Number(value);
    default:
      throw new TypeError(`no file can have a ${typeof value}`);
  }
}

function subOf(
  message: ReflectMessage,
  field: DescField,
  names: ReadonlySet<string>,
): YamlValue {
  switch (message.desc.typeName) {
    case ReferenceSchema.typeName: {
      const { id } = message.message as Reference;
      const isName =
        names.size > 0 && names.has(`${getOption(field, reference_to)}/${id}`);
      return isName ? new Map([["id", id]]) : id;
    }
    case StructSchema.typeName:
      return jsonOf(toJson(message.desc, message.message));
    // Kong writes the values of a header as a list.
    case HeaderValuesSchema.typeName:
      return mapOf(message, names).get("values") ?? [];
    default:
      return mapOf(message, names);
  }
}

function jsonOf(json: unknown): YamlValue {
  if (json === null) return null;
  if (Array.isArray(json)) return json.map(jsonOf);
  return typeof json === "object"
    ? sorted(Object.entries(json).map(([key, value]) => [key, jsonOf(value)]))
    : scalarOf(json);
}

function sorted(
  entries: [string, YamlValue][],
): ReadonlyMap<string, YamlValue> {
  return new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
