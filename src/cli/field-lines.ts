import type { Change } from "../gen/holdfast/admin/v1/config_service_pb.js";
import type { FieldChange } from "../model/field-changes.ts";
import { printable } from "./table.ts";

/** How much is shown of the fields of one resource. */
interface Bounds {
  readonly fields: number;
  /** Of one value, in characters. */
  readonly value: number;
}

/** To look over what would be done. */
export const OVERVIEW: Bounds = { fields: 8, value: 60 };
/** To look at what was done. */
export const DETAIL: Bounds = { fields: 100, value: 400 };

/** `paths[1]: "/a" -> "/b"`, a line for each field, and one for how many are left out. */
export function fieldLines(
  fields: Change["fields"] | readonly FieldChange[],
  count: number,
  bounds: Bounds,
): string[] {
  const shown = fields.slice(0, bounds.fields);
  const left = Math.max(count, fields.length) - shown.length;
  return [
    ...shown.map(({ path, before, after, secret }) =>
      printable(
        secret
          ? `${path}: (secret changed)`
          : `${path}: ${valueText(before, bounds)} -> ${valueText(after, bounds)}`,
      ),
    ),
    ...(left > 0
      ? [`… and ${left} more ${left === 1 ? "field" : "fields"}`]
      : []),
  ];
}

function valueText(value: string | undefined, bounds: Bounds): string {
  if (value === undefined) return "(unset)";
  const characters = Array.from(value);
  const more = characters.length - bounds.value;
  return more > 0
    ? `${characters.slice(0, bounds.value).join("")}… (${more} more characters)`
    : value;
}
