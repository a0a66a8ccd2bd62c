import { create } from "@bufbuild/protobuf";
import {
  ApplyRequestSchema,
  ApplyResponseSchema,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { writeWarnings } from "../changes.ts";
import { clientFlags, withClient } from "../client.ts";
import { command } from "../command.ts";
import { fileFlags, readFiles } from "../declarative-files.ts";
import { describeChanges, describeRefusals } from "../describe-diff.ts";
import { toggle } from "../flags.ts";
import { EXIT } from "../io.ts";
import { withOriginalPlaces } from "../original-places.ts";
import { json, writeValue } from "../output.ts";
import { paletteFor } from "../paint.ts";
import { withElapsed } from "../progress.ts";
import { sendApply } from "../send-apply.ts";
import { selectTagFlag } from "../select-tag-flag.ts";
import { refuseViolations } from "../violations.ts";

/** `holdfast diff` */
export const diff = command({
  name: "diff",
  summary: "Show what apply would do with declarative files",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Asks the control plane for exactly what apply with the same flags would do, and changes nothing. Ends with 3 when that is anything, with 0 when it is nothing, and with 1 when the files cannot be applied: everything that is wrong follows what would be done if it were not.",
    "Of what is updated, the fields that change are shown with their values before and after; of secrets only that they change.",
    "What the files do not name counts only with --prune, and of that only what has all select tags.",
    "Says which nodes would not serve the change, and why. In colours on a terminal, unless NO_COLOR is set in the environment.",
  ],
  examples: [
    ["holdfast diff -f kong.yml", "See what apply would create and update"],
    [
      "holdfast diff -f kong.yml --prune -o json",
      "Also what it would delete, for a program",
    ],
  ],
  flags: {
    ...fileFlags,
    selectTag: selectTagFlag,
    prune: toggle({ summary: "Show also what apply --prune would delete." }),
    ...clientFlags,
  },
  async run({ io, env }, flags) {
    const read = await readFiles({ io, env }, flags);
    const request = create(ApplyRequestSchema, {
      workspace: flags.workspace,
      files: read.files,
      selectTags: [...flags.selectTag],
      prune: flags.prune,
      dryRun: true,
      includeViolations: true,
      allowMassDelete: true,
    });
    return withOriginalPlaces(read, () =>
      withClient(io, flags, async (client) => {
        const { revision, changes, warnings, violations } = await withElapsed(
          io,
          "comparing the files",
          () => sendApply(client, request, read),
        );
        if (flags.output === "table") {
          const palette = paletteFor(io.stdout, env);
          writeWarnings(
            io.stderr,
            warnings.filter(({ nodes }) => nodes.length === 0),
          );
          io.stdout.write(describeChanges(changes, palette));
          io.stdout.write(describeRefusals(warnings, palette));
        } else {
          writeWarnings(io.stderr, warnings);
          const answer = create(ApplyResponseSchema, {
            revision,
            changes,
            warnings,
            violations,
          });
          writeValue(
            io.stdout,
            flags.output,
            json(ApplyResponseSchema, answer),
          );
        }
        refuseViolations(violations);
        return changes.length === 0 ? EXIT.done : EXIT.differences;
      }),
    );
  },
});
