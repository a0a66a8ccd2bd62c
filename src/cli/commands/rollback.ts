import { create } from "@bufbuild/protobuf";
import {
  RollbackRequestSchema,
  RollbackResponseSchema,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { argument } from "../argument.ts";
import { confirm } from "../ask.ts";
import { changesTable, countChanges, writeWarnings } from "../changes.ts";
import { clientFlags, withClient } from "../client.ts";
import { command } from "../command.ts";
import { describeChanges } from "../describe-diff.ts";
import { toggle } from "../flags.ts";
import { EXIT, Failure } from "../io.ts";
import { json, writeValue } from "../output.ts";
import { paletteFor } from "../paint.ts";
import { recordFlags } from "../record-flags.ts";
import { refuseViolations } from "../violations.ts";
import { revision } from "../value-types.ts";

/** `holdfast rollback` */
export const rollback = command({
  name: "rollback",
  summary: "Make the content of an older revision the newest one",
  argsUsage: "REVISION",
  argsCount: { min: 1, max: 1 },
  help: [
    "Makes a new revision; history only grows, so a rollback can be rolled back. Shows what would change and asks. --yes answers in advance, also to deleting more than half of everything; without a terminal and without --yes nothing is changed and the command ends with 1.",
  ],
  examples: [
    ["holdfast history", "Find the revision"],
    ["holdfast rollback 41", "Go back to revision 41, after asking"],
    [
      'holdfast rollback 41 --yes --message "checkout was down"',
      "Without being asked",
    ],
  ],
  flags: {
    yes: toggle({
      summary: "Answer every question with yes, and allow mass deletion.",
    }),
    dryRun: toggle({ summary: "Say what would happen and change nothing." }),
    ...recordFlags,
    ...clientFlags,
  },
  async run({ io, env }, flags, [word = ""]) {
    const request = create(RollbackRequestSchema, {
      workspace: flags.workspace,
      revision: argument("REVISION", revision, word),
      dryRun: flags.dryRun,
      includeViolations: flags.dryRun,
      allowMassDelete: true,
      author: flags.author ?? "",
      message: flags.message ?? "",
    });
    return withClient(io, flags, async (client) => {
      if (!flags.yes && !flags.dryRun) {
        const planned = await client.config.rollback(
          { ...request, dryRun: true, includeViolations: true },
          client.slowCall,
        );
        if (planned.changes.length > 0) {
          io.stderr.write(
            describeChanges(planned.changes, paletteFor(io.stderr, env)),
          );
          refuseViolations(planned.violations);
          const question = `Roll back to revision ${request.revision}: ${countChanges(planned.changes)}?`;
          if (!(await confirm(io, question)))
            throw new Failure("not confirmed, nothing was changed");
          // Exactly what was shown: a dry run answers the revision that it would make.
          request.expectedRevision = planned.revision - 1n;
        }
      }
      const answer = await client.config.rollback(request, client.slowCall);
      writeWarnings(io.stderr, answer.warnings);
      if (flags.output !== "table") {
        writeValue(
          io.stdout,
          flags.output,
          json(RollbackResponseSchema, answer),
        );
        refuseViolations(answer.violations);
        return EXIT.done;
      }
      if (flags.dryRun)
        io.stdout.write(
          describeChanges(answer.changes, paletteFor(io.stdout, env)),
        );
      else if (flags.yes)
        io.stdout.write(changesTable(answer.changes, io.stdout));
      const counted = countChanges(answer.changes);
      io.stdout.write(
        flags.dryRun
          ? `dry run: ${counted}, nothing was changed\n`
          : `revision ${answer.revision}: ${counted}\n`,
      );
      refuseViolations(answer.violations);
      return EXIT.done;
    });
  },
});
