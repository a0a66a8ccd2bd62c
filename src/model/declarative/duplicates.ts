import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { uniqueKeys } from "../unique.ts";
import type { Problem } from "./parsed.ts";
import type { RawEntity } from "./raw-entity.ts";
import { problemAt, type Report } from "./report.ts";
import type { ResolvedEntity } from "./resolve.ts";

/** Refuses entities that claim what an earlier one has: its id, its name or another unique field. */
export function refuseDuplicates(
  entities: readonly ResolvedEntity[],
  report: Report,
): void {
  const claimed = new Map<string, ResolvedEntity>();
  const refused = new Set<RawEntity>();
  for (const entity of entities) {
    const { raw } = entity;
    // What stands in a refused entity seems to belong to the earlier one. That need not be said again.
    if (raw.parent !== undefined && refused.has(raw.parent.entity)) {
      refused.add(raw);
      continue;
    }
    for (const { key, what } of claims(entity)) {
      const earlier = claimed.get(key);
      if (earlier === undefined) claimed.set(key, entity);
      else if (!refused.has(raw) && !isSameMembership(entity, earlier)) {
        refused.add(raw);
        report.problems.push(duplicate(entity, earlier, what));
      }
    }
  }
}

function claims(
  entity: ResolvedEntity,
): { readonly key: string; readonly what: string }[] {
  const { raw, stored } = entity;
  const id =
    raw.id === ""
      ? []
      : [{ key: `id\0${raw.kind}\0${raw.id}`, what: `id ${raw.id}` }];
  return [
    ...id,
    ...(isWhole(raw, stored) ? uniqueKeys(stored) : []).map(
      ({ key, fields }) => ({
        key,
        what:
          fields.length === 1
            ? String(fields[0])
            : `combination of ${fields.join(", ")}`,
      }),
    ),
  ];
}

/** Whether it has what its identity is made of. Otherwise that is what is wrong with it, not its likeness to another. */
function isWhole({ flawed }: RawEntity, { kind }: Resource): boolean {
  switch (kind.case) {
    case "plugin":
      return kind.value.name !== "" && flawed.size === 0;
    case "target":
      return kind.value.target !== "" && kind.value.upstream !== undefined;
    case "acl":
      return kind.value.group !== "" && kind.value.consumer !== undefined;
    case "consumerGroupConsumer":
      return (
        kind.value.consumer !== undefined &&
        kind.value.consumerGroup !== undefined
      );
    default:
      return true;
  }
}

/** A membership may be written on both sides: as one of a consumer's groups, and as one of the group's consumers. */
function isSameMembership(one: ResolvedEntity, other: ResolvedEntity): boolean {
  return [one, other].every(
    ({ raw }) =>
      raw.kind === "consumer_group_consumer" && raw.entries.size === 0,
  );
}

function duplicate(
  entity: ResolvedEntity,
  earlier: ResolvedEntity,
  what: string,
): Problem {
  const { file, line, column } = earlier.declared.position;
  const where = `${file}:${line}:${column} (${earlier.declared.path})`;
  return problemAt(
    entity.raw.subject,
    entity.raw.offset,
    `is declared twice: its ${what} is taken by that at ${where}`,
  );
}
