import {
  create,
  getOption,
  type DescField,
  type DescMessage,
  type JsonValue,
  type MessageShape,
} from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { default_json } from "../gen/holdfast/config/v1/options_pb.js";

/** Fills the defaults that the .proto files give (`default_json`) into a message, in place and all the way down. */
export function fillMessageDefaults<Desc extends DescMessage>(
  desc: Desc,
  message: MessageShape<Desc>,
): void {
  fill(reflect(desc, message));
}

function fill(message: ReflectMessage): void {
  for (const field of message.fields) {
    const value = defaultOf(field);
    if (value !== undefined && !message.isSet(field))
      setDefault(message, field, value);
    if (field.fieldKind === "message" && message.isSet(field)) {
      const inner = message.get(field);
      // A Struct has no fields of ours, and it would be a copy.
      if (hasDefaults(field.message)) fill(inner);
    }
  }
}

function setDefault(
  message: ReflectMessage,
  field: DescField,
  value: JsonValue,
): void {
  switch (field.fieldKind) {
    case "scalar":
      if (typeof value === "object") throw badDefault(field);
      message.set(field, value);
      return;
    case "list": {
      if (!Array.isArray(value)) throw badDefault(field);
      const list = message.get(field);
      for (const item of value) list.add(item);
      return;
    }
    case "message":
      // The only default of a message is "{}": the message with its own defaults.
      message.set(field, reflect(field.message, create(field.message)));
      return;
    default:
      throw badDefault(field);
  }
}

const defaults = new Map<DescField, JsonValue | undefined>();

function defaultOf(field: DescField): JsonValue | undefined {
  if (!defaults.has(field)) {
    const json = getOption(field, default_json);
    defaults.set(
      field,
      json === "" ? undefined : (JSON.parse(json) as JsonValue),
    );
  }
  return defaults.get(field);
}

const anyDefaults = new Map<DescMessage, boolean>();

function hasDefaults(desc: DescMessage): boolean {
  let any = anyDefaults.get(desc);
  if (any === undefined) {
    any = desc.fields.some((field) => defaultOf(field) !== undefined);
    anyDefaults.set(desc, any);
  }
  return any;
}

function badDefault(field: DescField): TypeError {
  return new TypeError(`default_json of ${String(field)} is not of its type`);
}
