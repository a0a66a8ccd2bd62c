import type { JsonValue } from "@bufbuild/protobuf";
import { describeProblem } from "../../model/declarative/parsed.ts";
import { RULES, type Finding, type Rule } from "../../model/lint/finding.ts";
import { lint as lintFiles } from "../../model/lint/lint.ts";
import { systemClock } from "../../runtime/clock.ts";
import { command } from "../command.ts";
import { fileFlags, readFiles } from "../declarative-files.ts";
import { flag, list } from "../flags.ts";
import { EXIT, Failure } from "../io.ts";
import { FORMATS, writeValue } from "../output.ts";
import { withElapsed } from "../progress.ts";
import { printable } from "../table.ts";
import { oneOf } from "../value-types.ts";

const NAMES = Object.keys(RULES) as Rule[];

/** `holdfast lint` */
export const lint = command({
  name: "lint",
  summary: "Find what declarative files say and nobody means",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Reads the files as one whole configuration, without a control plane, and lists what Kong and Holdfast accept and hardly anybody wants, each with its file, line and column and the name of its rule:",
    NAMES.map((name) => `${name}: ${RULES[name]}`).join("; ") + ".",
    "Ends with 3 when there is anything, and like validate with 1 when the files cannot be applied: then with everything that is wrong, and what is found in the rest of them by itself.",
  ],
  examples: [
    ["holdfast lint -f gateway/", "All files of a folder together"],
    [
      "holdfast lint -f kong.yml --ignore unused-upstream",
      "Without one of the rules",
    ],
  ],
  flags: {
    ...fileFlags,
    ignore: list(oneOf(NAMES), { summary: "A rule that does not count." }),
    output: flag(oneOf(FORMATS), {
      summary: "How findings are printed: for people or for programs.",
      short: "o",
      default: "table",
    }),
  },
  async run({ io, env }, flags) {
    const { files, original } = await readFiles({ io, env }, flags);
    const { FileParser } = await import("../../cp/admin/parse-files.ts");
    const parsed = await withElapsed(io, "checking the files", () =>
      new FileParser().parse(files, {}, io.stop),
    );
    const problems = [...parsed.problems, ...parsed.missing];
    const findings = lintFiles(parsed, systemClock.now(), problems).filter(
      ({ rule }) => !flags.ignore.includes(rule),
    );
    if (flags.output === "table")
      io.stdout.write(
        findings
          .map((one) => `${printable(original(describe(one)))}\n`)
          .join(""),
      );
    else
      writeValue(io.stdout, flags.output, {
        findings: findings.map((one): JsonValue => ({ ...one })),
      });
    if (problems.length > 0)
      throw new Failure(
        [
          "the files cannot be applied:",
          ...problems.map(
            (one) => `  ${printable(original(describeProblem(one)))}`,
          ),
        ].join("\n"),
      );
    const count = findings.length;
    if (count === 0) return EXIT.done;
    io.stderr.write(`${count} ${count === 1 ? "finding" : "findings"}\n`);
    return EXIT.differences;
  },
});

function describe({ rule, ...finding }: Finding): string {
  return `${describeProblem({ ...finding, path: "" })} (${rule})`;
}
