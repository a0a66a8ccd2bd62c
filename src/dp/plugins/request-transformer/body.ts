import type { JsonValue } from "@bufbuild/protobuf";
import { parseArguments, writeArguments } from "./arguments.ts";
import { transformArguments } from "./lists.ts";
import { touches, type Plan } from "./plan.ts";
import type { TemplateValues } from "./template.ts";

/** The largest body that is transformed. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;

/** Whether a body of this type is a form, a list of arguments. */
export function isForm(contentType: string): boolean {
  return contentType
    .toLowerCase()
    .includes("application/x-www-form-urlencoded");
}

/** Changes a body by a plan; undefined when it stays as it is. */
export function transformBody(
  contentType: string,
  body: Buffer,
  plan: Plan,
  values: TemplateValues,
): Buffer | undefined {
  if (!touches(plan)) return undefined;
  if (contentType.toLowerCase().includes("application/json"))
    return transformJson(body, plan, values);
  if (!isForm(contentType)) return undefined;
  const text = body.toString("utf8");
  return Buffer.from(
    writeArguments(transformArguments(parseArguments(text), plan, values)),
    "utf8",
  );
}

function transformJson(
  body: Buffer,
  plan: Plan,
  values: TemplateValues,
): Buffer | undefined {
  const fields = body.length === 0 ? new Map<string, JsonValue>() : read(body);
  if (fields === undefined) return undefined;
  for (const name of plan.remove) fields.delete(name);
  for (const { name, value } of plan.rename) {
    const kept = fields.get(name);
    if (kept === undefined) continue;
    fields.delete(name);
    fields.set(value(values), kept);
  }
  for (const { name, value } of plan.replace)
    if (fields.has(name)) fields.set(name, value(values));
  for (const { name, value } of plan.add)
    if (!fields.has(name)) fields.set(name, value(values));
  for (const { name, value } of plan.append) {
    const before = fields.get(name);
    const list = Array.isArray(before)
      ? before
      : before === undefined
        ? []
        : [before];
    fields.set(name, [...list, value(values)]);
  }
  if (body.length === 0 && fields.size === 0) return undefined;
  return Buffer.from(JSON.stringify(Object.fromEntries(fields)), "utf8");
}

/** The fields of an object; undefined for anything else. */
function read(body: Buffer): Map<string, JsonValue> | undefined {
  let value: JsonValue;
  try {
    value = JSON.parse(body.toString("utf8")) as JsonValue;
  } catch {
    return undefined;
  }
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? new Map(Object.entries(value))
    : undefined;
}
