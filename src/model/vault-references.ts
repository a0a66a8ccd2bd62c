import type { JsonValue } from "@bufbuild/protobuf";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { secretsThat } from "./redact.ts";

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

/** Whether a text stands for a secret kept elsewhere. */
export function isVaultReference(text: string): boolean {
  return text.startsWith("{vault://") && text.endsWith("}");
}
