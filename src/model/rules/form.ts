import {
  ScalarType,
  type DescField,
  type JsonObject,
} from "@bufbuild/protobuf";
import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import { isWellFormed, NOT_TEXT, structProblems } from "../json-form.ts";
import { join, show, type Problem } from "../problem.ts";

/**
 * What of a message has no faithful encoding, so that its value could not be read back as it was: unknown fields, numbers
 * out of their type's range, text without a UTF-8 form.
 */
export function formProblems(message: ReflectMessage, path = ""): Problem[] {
  const problems: Problem[] = [];
  for (const { no } of message.getUnknown() ?? [])
    problems.push({
      field: path,
      reason: `has an unknown protobuf field with the number ${no}: it was made with a newer version of the .proto files`,
    });
  for (const field of message.fields)
    if (message.isSet(field)) checkField(message, field, path, problems);
  return problems;
}

function checkField(
  message: ReflectMessage,
  field: DescField,
  path: string,
  problems: Problem[],
): void {
  const at = join(path, field.name);
  switch (field.fieldKind) {
    case "scalar":
      checkScalar(field, message.get(field), at, problems);
      return;
    case "message": {
      if (field.message.typeName === "google.protobuf.Struct") {
        problems.push(...structProblems(structOf(message, field), at));
        return;
      }
      problems.push(...formProblems(message.get(field), at));
      return;
    }
    case "list":
      for (const [i, item] of [...message.get(field)].entries())
        checkItem(field, item, `${at}[${i}]`, problems);
      return;
    case "map":
      for (const [key, item] of message.get(field)) {
        const below = `${at}[${show(key)}]`;
        if (typeof key === "string" && !isWellFormed(key))
          problems.push({ field: at, reason: NOT_TEXT });
        else checkItem(field, item, below, problems);
      }
      return;
    default:
  }
}

function checkItem(
  field: DescField,
  item: unknown,
  at: string,
  problems: Problem[],
): void {
  if (field.message === undefined) checkScalar(field, item, at, problems);
  else problems.push(...formProblems(item as ReflectMessage, at));
}

function checkScalar(
  field: DescField,
  value: unknown,
  at: string,
  problems: Problem[],
): void {
  const reason = scalarReason(field.scalar, value);
  if (reason !== undefined) problems.push({ field: at, reason });
}

function scalarReason(
  type: ScalarType | undefined,
  value: unknown,
): string | undefined {
  switch (type) {
    case ScalarType.STRING:
      if (typeof value !== "string") return `must be text, got ${show(value)}`;
      return isWellFormed(value) ? undefined : NOT_TEXT;
    case ScalarType.DOUBLE:
      return Number.isFinite(value)
        ? undefined
        : `must be a finite number, got ${String(value)}`;
    case ScalarType.INT32:
      return Number.isInteger(value) &&
        (value as number) === ((value as number) | 0)
        ? undefined
        : `must be a whole number from -2147483648 to 2147483647, got ${String(value)}`;
    case ScalarType.UINT64:
      return typeof value === "bigint" && value >= 0n && value < 1n << 64n
        ? undefined
        : `must be a whole number from 0 to 18446744073709551615, got ${String(value)}`;
    case ScalarType.BOOL:
      return typeof value === "boolean"
        ? undefined
        : `must be true or false, got ${String(value)}`;
    default:
      return undefined;
  }
}

/** The Struct as the JSON object it is in the message; through reflection it would be a copy that has lost keys. */
function structOf(message: ReflectMessage, field: DescField): JsonObject {
  const holder: Record<string, unknown> = { ...message.message };
  return holder[field.localName] as JsonObject;
}
