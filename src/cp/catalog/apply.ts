import type {
  ParsedDeclarative,
  Position,
  Problem,
} from "../../model/declarative/parsed.ts";
import type { Slices } from "../../model/slices.ts";
import type { Violation } from "../../model/violation.ts";
import type { Job } from "./job.ts";
import type { ApplyOptions, Operation, WarningInfo } from "./operation.ts";
import { Refusals } from "./refusals.ts";

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
    plan: (planner) => run(planner, operations, parsed, options.prune),
  };
}

/** @throws ConfigError when there are problems in the files. */
export function refuseProblems(parsed: ParsedDeclarative): void {
  if (parsed.problems.length === 0) return;
  const refusals = new Refusals();
  refusals.addOfFiles(parsed.problems.map(violationOf));
  throw refusals.error ?? new TypeError("no problems");
}

function violationOf(problem: Problem): {
  readonly violation: Violation;
  readonly at: string;
} {
  const { entity: kind, field, message: reason } = problem;
  return {
    violation: { kind, name: "", field, reason },
    at: describePosition(problem),
  };
}

function* run(
  planner: Parameters<Job["plan"]>[0],
  operations: readonly Operation[],
  parsed: ParsedDeclarative,
  prune: boolean,
): Slices<void> {
  planner.refuse(parsed.problems.map(violationOf));
  yield* planner.run(operations);
  if (!prune) return;
  // What the files could not say is not what they leave out.
  if (parsed.problems.length === 0) yield* planner.prune(parsed.selectTags);
  else
    planner.warn({
      kind: "",
      id: "",
      name: "",
      field: "prune",
      message:
        "what would be deleted is not known before the files have no problems of their own",
      nodes: [],
      position: "",
    });
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
