import { create } from "@bufbuild/protobuf";
import {
  WarningSchema,
  type Warning,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import {
  describeProblem,
  type ParsedDeclarative,
  type Position,
} from "../../model/declarative/parsed.ts";
import { fillDefaults } from "../../model/defaults.ts";
import { nameOf } from "../../model/unique.ts";
import { warningsOf } from "../../model/warnings.ts";
import { systemClock } from "../../runtime/clock.ts";
import { writeWarnings } from "../changes.ts";
import { command } from "../command.ts";
import { fileFlags, readFiles } from "../declarative-files.ts";
import { EXIT, Failure } from "../io.ts";
import { withElapsed } from "../progress.ts";
import { printable } from "../table.ts";

/** `holdfast validate` */
export const validate = command({
  name: "validate",
  summary: "Check declarative files without a control plane",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Reads and checks the files as the control plane does, together as one whole configuration: references to what they do not have are problems here, though a control plane may have it.",
    "Prints every problem with its file, line and column, and ends with 1 when there is any. Warnings go to standard error and change nothing about that.",
  ],
  examples: [["holdfast validate -f kong.yml", "Before it is committed"]],
  flags: {
    ...fileFlags,
  },
  async run({ io, env }, flags) {
    const { files, original } = await readFiles({ io, env }, flags);
    // The same that the control plane parses with: large files in a thread, so that Ctrl-C ends it at any time.
    const { FileParser } = await import("../../cp/admin/parse-files.ts");
    const parsed = await withElapsed(io, "checking the files", () =>
      new FileParser().parse(files, {}, io.stop),
    );
    const order = inOrder(files.map(({ name }) => name));
    const problems = [...parsed.problems, ...parsed.missing].sort(order);
    const warnings = [
      ...parsed.warnings.map((problem) => ({
        ...problem,
        kind: problem.entity,
      })),
      // What is wrong elsewhere may be why something looks doubtful here.
      ...(problems.length === 0 ? doubts(parsed) : []),
    ].sort(order);
    writeWarnings(
      io.stderr,
      warnings
        .map(warningOf)
        .map((one) => ({ ...one, position: original(one.position) })),
    );
    if (problems.length === 0) {
      const count = parsed.entities.length;
      io.stdout.write(
        `valid: ${count} ${count === 1 ? "entity" : "entities"}\n`,
      );
      return EXIT.done;
    }
    io.stdout.write(
      problems
        .map((one) => `${printable(original(describeProblem(one)))}\n`)
        .join(""),
    );
    const count = problems.length;
    throw new Failure(count === 1 ? "1 problem" : `${count} problems`);
  },
});

type Doubt = Position &
  Pick<Warning, "kind" | "field" | "message"> &
  Partial<Pick<Warning, "name" | "id">>;

/** What is accepted and may not do what was meant. */
function doubts({ entities }: ParsedDeclarative): Doubt[] {
  const nowMs = systemClock.now();
  return entities.flatMap(({ kind, resource, idIfNew, position }) => {
    const filled = fillDefaults(resource);
    const name = nameOf(filled);
    return warningsOf(filled, { nowMs }).map(({ field, message }) => ({
      ...position,
      kind,
      name,
      id: idIfNew,
      field,
      message,
    }));
  });
}

function warningOf({ file, line, column, ...warning }: Doubt): Warning {
  const { kind, name = "", id = "", field, message } = warning;
  const position = `${file}:${line}:${column}`;
  return create(WarningSchema, { kind, name, id, field, message, position });
}

/** Compares places: by the order of the files, then by line and column. */
function inOrder(
  files: readonly string[],
): (a: Position, b: Position) => number {
  const order = new Map(files.map((name, i) => [name, i]));
  const fileOf = ({ file }: Position) => order.get(file) ?? 0;
  return (a, b) =>
    fileOf(a) - fileOf(b) || a.line - b.line || a.column - b.column;
}
