import type { Problem } from "../problem.ts";

/** What is wrong with fields made by Lua code: that there are any. */
export function luaProblems(
  fields: Readonly<Record<string, string>>,
): Problem[] {
  return Object.keys(fields).map((name) => ({
    field: `custom_fields_by_lua[${JSON.stringify(name)}]`,
    reason:
      "Lua is not run here, so the field cannot be made; take custom_fields_by_lua away",
  }));
}
