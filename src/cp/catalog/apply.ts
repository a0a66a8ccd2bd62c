import type {
  ParsedDeclarative,
  Position,
  Problem,
} from "../../model/declarative/parsed.ts";
import type { Slices } from "../../model/slices.ts";
import { ConfigError } from "../../model/violation.ts";
import type { Job } from "./job.ts";
import type { ApplyOptions, Operation, WarningInfo } from "./operation.ts";

/** The operations that bring declarative files in. */
export function applyOperations(parsed: ParsedDeclarative): Operation[] {
  return parsed.entities.map(({ resource, idIfNew, position }) => ({
    type: "put",
    resource,
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
    plan: (planner) =>
      run(planner, operations, parsed.selectTags, options.prune),
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
  selectTags: readonly string[],
  prune: boolean,
): Slices<void> {
  yield* planner.run(operations);
  if (prune) yield* planner.prune(selectTags);
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
