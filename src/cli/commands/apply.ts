import { create } from "@bufbuild/protobuf";
import {
  ApplyRequestSchema,
  ApplyResponseSchema,
  type ApplyRequest,
  type ApplyResponse,
  type ApplyStreamResponse,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { confirm } from "../ask.ts";
import { changesTable, countChanges, writeWarnings } from "../changes.ts";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { fileFlags, readFiles, type ReadFiles } from "../declarative-files.ts";
import { describeChanges } from "../describe-diff.ts";
import { optional, toggle } from "../flags.ts";
import { EXIT, Failure, UsageError, type Io } from "../io.ts";
import { withOriginalPlaces } from "../original-places.ts";
import { json, writeValue, type Format } from "../output.ts";
import { paletteFor } from "../paint.ts";
import type { Env } from "../parse-flags.ts";
import { withElapsed } from "../progress.ts";
import { recordFlags } from "../record-flags.ts";
import { selectTagFlag } from "../select-tag-flag.ts";
import { sendApply } from "../send-apply.ts";
import { patience } from "../value-types.ts";
import { refuseViolations } from "../violations.ts";
import { waitForRevision } from "../wait-for-revision.ts";

/** `holdfast apply` */
export const apply = command({
  name: "apply",
  summary: "Bring in declarative files in Kong's format as one revision",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Creates and updates what the files say, all of it or, when anything is wrong, nothing; every problem is reported with its file, line and entity. Applying the same files again changes nothing. What the files do not name stays, unless --prune is given.",
    'Several files, and all .yml, .yaml and .json files of a folder, are one configuration. ${{ env "DECK_NAME" }} in them is filled in from the environment before they are sent.',
    "With --prune the deletions are shown first and have to be confirmed; --yes confirms them in advance, also deleting more than half of everything. Without a terminal and without --yes a --prune that would delete anything changes nothing and ends with 1.",
    "With --dry-run it shows what would be done, with the fields that change, then everything that is wrong, and ends with 1 when anything is.",
    "With --wait it ends with 3 when time is up before all nodes serve the change, and at once when a node refuses it, or is pinned or paused before it; with a part such as 95%/30s, when too few are left. The change stays committed.",
  ],
  examples: [
    ["holdfast apply -f kong.yml", "Create and update what kong.yml says"],
    [
      "holdfast apply -f kong.yml --prune --dry-run",
      "See what making kong.yml the whole configuration would do",
    ],
    [
      "holdfast apply -f kong.yml --wait 30s",
      "Do not return before every data plane serves it",
    ],
    [
      "holdfast apply -f gateway/ --select-tag team-a --prune",
      "Make a folder all that is tagged team-a, and touch nothing else",
    ],
    ["generate | holdfast apply -f -", "Read from another program"],
  ],
  flags: {
    ...fileFlags,
    selectTag: selectTagFlag,
    prune: toggle({
      summary:
        "Delete what the files do not name, after asking; with select tags only what has all of them.",
    }),
    yes: toggle({
      summary: "Answer every question with yes, and allow mass deletion.",
    }),
    dryRun: toggle({ summary: "Say what would happen and change nothing." }),
    wait: optional(patience("1h"), {
      summary:
        "Wait at most this long until every node serves the change, or so many: 30s, 95%/30s.",
    }),
    ...recordFlags,
    ...clientFlags,
  },
  async run({ io, env }, flags) {
    if (flags.dryRun && flags.wait !== undefined)
      throw new UsageError([
        "--wait and --dry-run do not go together: a dry run changes nothing to wait for",
      ]);
    const read = await readFiles({ io, env }, flags);
    const request = create(ApplyRequestSchema, {
      workspace: flags.workspace,
      files: read.files,
      selectTags: [...flags.selectTag],
      prune: flags.prune,
      dryRun: flags.dryRun,
      includeViolations: flags.dryRun,
      // A dry run deletes nothing, and shall show what is to be confirmed.
      allowMassDelete: flags.yes || flags.dryRun,
      author: flags.author ?? "",
      message: flags.message ?? "",
    });
    return withOriginalPlaces(read, () =>
      withClient(io, flags, async (client) => {
        if (flags.prune && !flags.yes && !flags.dryRun) {
          const seen = await confirmDeletions(io, client, request, read);
          if (seen === undefined)
            throw new Failure("not confirmed, nothing was changed");
          request.allowMassDelete = true;
          // What was shown is what is deleted: anything that changed meanwhile has to be looked at again.
          request.expectedRevision = seen;
        }
        const answer = await withElapsed(io, "applying the files", () =>
          sendApply(client, request, read),
        );
        print({ io, env }, flags.output, answer, flags.dryRun);
        refuseViolations(answer.violations);
        if (flags.wait === undefined) return EXIT.done;
        const waited = await waitForRevision(
          io,
          client,
          answer.revision,
          flags.wait,
        );
        return waited.code;
      }),
    );
  },
});

/** Shows what a prune deletes and asks: the revision that was looked at, or undefined when the answer is no. */
async function confirmDeletions(
  io: Io,
  client: ControlPlaneClient,
  request: ApplyRequest,
  read: ReadFiles,
): Promise<bigint | undefined> {
  const dryRun = { ...request, dryRun: true, allowMassDelete: true };
  const { changes, revision, warnings } = await withElapsed(
    io,
    "comparing the files",
    () => sendApply(client, dryRun, read),
  );
  // A dry run answers the revision that it would make.
  const seen = changes.length === 0 ? revision : revision - 1n;
  const deletions = changes.filter(({ action }) => action === "delete");
  if (deletions.length === 0) return seen;
  io.stderr.write(changesTable(deletions, io.stderr));
  // What is about no resource is about the answer: that it could not list everything.
  writeWarnings(
    io.stderr,
    warnings.filter(({ kind, position }) => kind + position === ""),
  );
  const others = changes.length - deletions.length;
  const besides = others === 0 ? "" : `, besides ${others} other changes`;
  const agreed = await confirm(
    io,
    `The files do not name these ${deletions.length} resources. Delete them${besides}?`,
  );
  return agreed ? seen : undefined;
}

function print(
  { io, env }: { readonly io: Io; readonly env: Env },
  format: Format,
  answer: ApplyResponse | ApplyStreamResponse,
  dryRun: boolean,
): void {
  const { revision, changes, warnings, violations } = answer;
  writeWarnings(io.stderr, warnings);
  if (format !== "table") {
    const same = create(ApplyResponseSchema, {
      revision,
      changes,
      warnings,
      violations,
    });
    writeValue(io.stdout, format, json(ApplyResponseSchema, same));
    return;
  }
  const counted = countChanges(changes);
  io.stdout.write(
    dryRun
      ? `${describeChanges(changes, paletteFor(io.stdout, env))}dry run: ${counted}, nothing was changed\n`
      : `${changesTable(changes, io.stdout)}revision ${revision}: ${counted}\n`,
  );
}
