import type { JsonValue } from "@bufbuild/protobuf";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { secretsThat } from "./redact.ts";
import { isVaultReference } from "./vault-reference.ts";

/** The fields that have a reference to a secret kept elsewhere, such as "{vault://env/password}". */
export function vaultReferencesOf(resource: Resource): string[] {
  const { kind } = resource;
  if (kind.case === "vault") return [];
  if (kind.case !== "plugin") return secretsThat(resource, isVaultReference);
  const fields: string[] = [];
  find(kind.value.config ?? {}, "config", fields);
  return fields;
}

function find(value: JsonValue, path: string, fields: string[]): void {
  if (typeof value === "string") {
    if (isVaultReference(value)) fields.push(path);
  } else if (Array.isArray(value))
    for (const [i, item] of value.entries())
      find(item, `${path}[${i}]`, fields);
  else if (typeof value === "object" && value !== null)
    for (const [key, item] of Object.entries(value))
      find(item, `${path}.${key}`, fields);
}

/** What to say beside why a value cannot be: nothing, unless it is a reference, which could be anything in Kong. */
export function referenceHint(value: unknown): string {
  return typeof value === "string" && isVaultReference(value)
    ? '; data planes of Holdfast do not follow references to vaults: put in the value itself, in a file as ${{ env "DECK_NAME" }}'
    : "";
}

/** What stands at a field's path in a resource's JSON form; undefined when nothing does. */
export function valueAt(
  body: JsonValue | undefined,
  path: string,
): JsonValue | undefined {
  let value = body;
  for (const [step, quoted] of path.matchAll(
    /\["((?:[^"\\]|\\.)*)"\]|[^.[\]]+/g,
  )) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Array.isArray(value)
      ? value[Number(step)]
      : (value as Readonly<Record<string, JsonValue>>)[quoted ?? step];
  }
  return value;
}
