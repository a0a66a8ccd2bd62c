import { create } from "@bufbuild/protobuf";
import {
  ApplyRequestSchema,
  ApplyResponseSchema,
  type Change,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { changeRows, writeWarnings } from "../changes.ts";
import { clientFlags, withClient } from "../client.ts";
import { command } from "../command.ts";
import { readFiles } from "../declarative-files.ts";
import { list, toggle } from "../flags.ts";
import { EXIT, type Output } from "../io.ts";
import { json, writeValue } from "../output.ts";
import { withElapsed } from "../progress.ts";
import { sendApply } from "../send-apply.ts";
import { table } from "../table.ts";
import { text } from "../value-types.ts";

/** `holdfast diff` */
export const diff = command({
  name: "diff",
  summary: "Show what apply would do with declarative files",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Asks the control plane for exactly what apply with the same flags would do, and changes nothing. Ends with 3 when that is anything, with 0 when it is nothing, and like apply with 1 when the files cannot be applied.",
    "What the files do not name counts only with --prune.",
  ],
  examples: [
    ["holdfast diff -f kong.yml", "See what apply would create and update"],
    [
      "holdfast diff -f kong.yml --prune -o json",
      "Also what it would delete, for a program",
    ],
  ],
  flags: {
    file: list(text("FILE"), {
      summary: 'YAML or JSON; "-" is standard input.',
      short: "f",
      required: true,
    }),
    prune: toggle({ summary: "Show also what apply --prune would delete." }),
    ...clientFlags,
  },
  async run({ io }, flags) {
    const request = create(ApplyRequestSchema, {
      workspace: flags.workspace,
      files: await readFiles(io, flags.file),
      prune: flags.prune,
      dryRun: true,
      allowMassDelete: true,
    });
    return withClient(io, flags, async (client) => {
      const { revision, changes, warnings } = await withElapsed(
        io,
        "comparing the files",
        () => sendApply(client, request),
      );
      writeWarnings(io.stderr, warnings);
      if (flags.output === "table")
        io.stdout.write(describe(changes, io.stdout));
      else {
        const answer = create(ApplyResponseSchema, {
          revision,
          changes,
          warnings,
        });
        writeValue(io.stdout, flags.output, json(ApplyResponseSchema, answer));
      }
      return changes.length === 0 ? EXIT.done : EXIT.differences;
    });
  },
});

/** The changes by what would be done, each sort under a title of its own. */
function describe(changes: readonly Change[], out: Output): string {
  if (changes.length === 0) return "no differences\n";
  return ["create", "update", "delete"]
    .map((action) => ({
      action,
      group: changes.filter((change) => change.action === action),
    }))
    .filter(({ group }) => group.length > 0)
    .map(
      ({ action, group }) =>
        `${group.length} to ${action}:\n${table(["KIND", "NAME", "ID"], changeRows(group), out)}`,
    )
    .join("\n");
}
