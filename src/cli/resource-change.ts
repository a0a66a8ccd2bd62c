import type { ResourceChange } from "../gen/holdfast/admin/v1/config_service_pb.js";
import { fieldChanges } from "../model/field-changes.ts";
import { DETAIL, fieldLines } from "./field-lines.ts";
import { printable } from "./table.ts";

/** Lines about what happened to a resource: who it is, then each field that is different. */
export function describeChange(resourceChange: ResourceChange): string[] {
  const { change } = resourceChange;
  if (change === undefined) return [];
  const { action, kind, name, id } = change;
  const who = name === "" || name === id ? id : `"${name}" (${id})`;
  const lines = action === "update" ? linesOf(resourceChange) : [];
  return [
    printable(`${action} ${kind} ${who}`),
    ...lines.map((line) => `  ${line}`),
  ];
}

function linesOf({ change, before, after }: ResourceChange): string[] {
  if (change !== undefined && change.fields.length > 0)
    return fieldLines(change.fields, change.fieldCount, DETAIL);
  const fields =
    before === undefined || after === undefined
      ? []
      : fieldChanges(before, after);
  // Both are shown as ***: that something secret is different is all there is to say.
  return fields.length === 0
    ? ["a secret is changed"]
    : fieldLines(fields, fields.length, DETAIL);
}
