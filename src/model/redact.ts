import {
  getOption,
  type DescMessage,
  type JsonObject,
  type JsonValue,
} from "@bufbuild/protobuf";
import { secret } from "../gen/holdfast/config/v1/options_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { copyOf, reflectKind } from "./messages.ts";
import { knownPlugin } from "./plugins.ts";

/** What stands for a secret. */
const REDACTED = "***";

/** A copy to show to people: secrets are "***". */
export function redact(resource: Resource): Resource {
  const copy = copyOf(resource);
  const message = reflectKind(copy);
  for (const field of message?.fields ?? [])
    if (
      field.fieldKind === "scalar" &&
      getOption(field, secret) &&
      message?.isSet(field) === true
    )
      message.set(field, REDACTED);
  if (copy.kind.case === "plugin" && copy.kind.value.config !== undefined) {
    const schema = knownPlugin(copy.kind.value.name)?.schema;
    copy.kind.value.config =
      schema === undefined
        ? redactUnknown(copy.kind.value.config)
        : redactKnown(schema, copy.kind.value.config);
  }
  return copy;
}

function redactKnown(schema: DescMessage, config: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => {
      const field = schema.fields.find((f) => f.name === key);
      if (field === undefined) return [key, value];
      if (getOption(field, secret)) return [key, redactAll(value)];
      return field.fieldKind === "message" && isObject(value)
        ? [key, redactKnown(field.message, value)]
        : [key, value];
    }),
  );
}

/** All texts of a value: of a map of headers, say, the names stay. */
function redactAll(value: JsonValue): JsonValue {
  if (typeof value === "string") return value === "" ? value : REDACTED;
  if (Array.isArray(value)) return value.map(redactAll);
  return isObject(value)
    ? Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, redactAll(item)]),
      )
    : value;
}

/** Nobody told us what is secret in it: texts whose key sounds so are. */
function redactUnknown(config: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => [
      key,
      redactValue(value, SECRET_KEY.test(key)),
    ]),
  );
}

function redactValue(value: JsonValue, hide: boolean): JsonValue {
  if (typeof value === "string") return hide && value !== "" ? REDACTED : value;
  if (Array.isArray(value)) return value.map((item) => redactValue(item, hide));
  return isObject(value) ? redactUnknown(value) : value;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const SECRET_KEY =
  /(^|_)(password|passphrase|secret|secrets|token|private_key|api_key|apikey|secret_key|access_key|credentials)$/i;
