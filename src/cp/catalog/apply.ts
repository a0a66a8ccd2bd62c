import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import type {
  ParsedDeclarative,
  Position,
  Problem,
} from "../../model/declarative/parsed.ts";
import { copyOf } from "../../model/messages.ts";
import type { Slices } from "../../model/slices.ts";
import { ConfigError } from "../../model/violation.ts";
import type { Job } from "./job.ts";
import type { ApplyOptions, Operation, WarningInfo } from "./operation.ts";

/** The operations that bring declarative files in. */
export function applyOperations(
  parsed: ParsedDeclarative,
  selectTags: readonly string[] = [],
): Operation[] {
  return parsed.entities.map(({ resource, idIfNew, position }) => ({
    type: "put",
    resource: withTags(resource, selectTags),
    idIfNew,
    at: describePosition(position),
    fromFile: true,
  }));
}

/** The transaction that brings declarative files in. */
export function applyJob(
  parsed: ParsedDeclarative,
  operations: readonly Operation[],
  options: ApplyOptions,
): Job {
  return {
    options,
    warnings: parsed.warnings.map(warningOf),
    plan: (planner) => run(planner, operations, options),
  };
}

/** @throws ConfigError when there are problems in the files. */
export function refuseProblems(parsed: ParsedDeclarative): void {
  if (parsed.problems.length === 0) return;
  throw ConfigError.of(
    "invalid_argument",
    parsed.problems.map((problem) => ({
      kind: problem.entity,
      name: "",
      field: problem.field,
      reason: `${describePosition(problem)}: ${problem.message}`,
    })),
  );
}

function* run(
  planner: Parameters<Job["plan"]>[0],
  operations: readonly Operation[],
  { prune, selectTags = [] }: ApplyOptions,
): Slices<void> {
  yield* planner.run(operations);
  if (prune) yield* planner.prune(selectTags);
}

/** A resource that has these tags beside its own. */
function withTags(resource: Resource, tags: readonly string[]): Resource {
  const { value } = resource.kind;
  const missing = tags.filter((tag) => value?.tags.includes(tag) === false);
  if (value === undefined || missing.length === 0) return resource;
  const copy = copyOf(resource);
  copy.kind.value?.tags.push(...missing);
  return copy;
}

function warningOf(problem: Problem): WarningInfo {
  return {
    kind: problem.entity,
    id: "",
    name: "",
    field: problem.field,
    message: problem.message,
    nodes: [],
    position: describePosition(problem),
  };
}

function describePosition({ file, line, column }: Position): string {
  return `${file}:${line}:${column}`;
}
