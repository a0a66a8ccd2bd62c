import type { JsonValue } from "@bufbuild/protobuf";
import type { ResourceChange } from "../gen/holdfast/admin/v1/config_service_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { resourceToJson } from "../model/resource-json.ts";
import { printable } from "./table.ts";

/** Lines about what happened to a resource: who it is, then each field that is different. */
export function describeChange({
  change,
  before,
  after,
}: ResourceChange): string[] {
  if (change === undefined) return [];
  const { action, kind, name, id } = change;
  const who = name === "" || name === id ? id : `"${name}" (${id})`;
  const lines =
    action === "update" ? differences("", bodyOf(before), bodyOf(after)) : [];
  // Both are shown as ***: that something secret is different is all there is to say.
  if (action === "update" && lines.length === 0)
    lines.push("a secret is changed");
  return [
    printable(`${action} ${kind} ${who}`),
    ...lines.map((line) => `  ${printable(line)}`),
  ];
}

/** The fields of a resource, without the name of its kind around them. */
function bodyOf(resource: Resource | undefined): JsonValue | undefined {
  return resource === undefined
    ? undefined
    : Object.values(resourceToJson(resource))[0];
}

function differences(
  path: string,
  before: JsonValue | undefined,
  after: JsonValue | undefined,
): string[] {
  if (isObject(before) && isObject(after)) {
    const fields = [
      ...new Set([...Object.keys(before), ...Object.keys(after)]),
    ].filter((field) => path !== "" || !TIMES.includes(field));
    return fields.flatMap((field) =>
      differences(
        path === "" ? field : `${path}.${field}`,
        before[field],
        after[field],
      ),
    );
  }
  const [from, to] = [textOf(before), textOf(after)];
  return from === to ? [] : [`${path}: ${from} -> ${to}`];
}

const TIMES = ["created_at", "updated_at"];

function textOf(value: JsonValue | undefined): string {
  return value === undefined ? "(unset)" : JSON.stringify(value);
}

function isObject(
  value: JsonValue | undefined,
): value is Record<string, JsonValue> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
