import { checkResource } from "../rules.ts";
import type { RawEntity } from "./raw-entity.ts";
import { problemAt, type Report } from "./report.ts";
import type { ResolvedEntity } from "./resolve.ts";
import { listItems, mapEntries, type TreeNode } from "./tree.ts";

/**
 * Checks entities by the rules of their kinds. The catalog does that too, but only here it is known where in the file
 * each field stands.
 */
export function checkRules(
  entities: readonly ResolvedEntity[],
  report: Report,
): void {
  for (const { raw, stored } of entities) {
    const violations = checkResource(stored);
    // A shorthand that cannot be read gives no host.
    const badUrl = violations.some(({ field }) => field === "url");
    for (const { field, reason } of violations) {
      if (followsFromFlaw(raw, field) || (badUrl && field === "host")) continue;
      const offset = locate(raw, field);
      const path =
        field === "" ? raw.subject.path : `${raw.subject.path}.${field}`;
      report.problems.push(
        problemAt({ ...raw.subject, path, field }, offset, reason),
      );
    }
  }
}

/** Whether it is about a field that could not be read, and so only looks missing. */
function followsFromFlaw({ flawed }: RawEntity, field: string): boolean {
  return field === "" ? flawed.size > 0 : flawed.has(segments(field)[0] ?? "");
}

/** Where a field stands; where it does not, what would hold it. */
export function locate(raw: RawEntity, field: string): number {
  let offset = raw.offset;
  let node: TreeNode = {
    type: "map",
    entries: raw.entries,
    offset,
    height: 0,
    weight: 0,
  };
  for (const segment of segments(field)) {
    const next: TreeNode | undefined =
      mapEntries(node)?.get(segment)?.value ??
      listItems(node)?.[Number(segment)];
    // Steps that only the message has, as in `headers["x"].values[0]`, are passed over.
    if (next === undefined) continue;
    node = next;
    offset = next.offset;
  }
  return offset;
}

/** `headers["x-a.b"].values[0]` -> headers, x-a.b, values, 0. */
function segments(field: string): string[] {
  return [...field.matchAll(/\["((?:[^"\\]|\\.)*)"\]|[^.[\]]+/g)].map(
    ([whole, quoted]) => quoted ?? whole,
  );
}
