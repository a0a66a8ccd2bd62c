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
      const hide = field !== undefined && getOption(field, secret);
      return [key, hide && value !== "" ? REDACTED : value];
    }),
  );
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
  return typeof value === "object" && value !== null
    ? redactUnknown(value)
    : value;
}

const SECRET_KEY =
  /(^|_)(password|passphrase|secret|secrets|token|private_key|api_key|apikey|secret_key|access_key|credentials)$/i;
