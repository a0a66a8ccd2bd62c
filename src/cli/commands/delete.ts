import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  TransactRequestSchema,
  TransactResponseSchema,
  type TransactRequest,
  type TransactResponse,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { isUuid } from "../../model/ids.ts";
import type { Kind } from "../../model/kinds.ts";
import { kindArgument } from "../argument.ts";
import { confirm } from "../ask.ts";
import { changesTable, countChanges, writeWarnings } from "../changes.ts";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { toggle } from "../flags.ts";
import { EXIT, Failure } from "../io.ts";
import { json, writeValue } from "../output.ts";
import { recordFlags } from "../record-flags.ts";

/** `holdfast delete`; the word alone is reserved in JavaScript. */
export const deleteCommand = command({
  name: "delete",
  summary: "Delete one resource and what belongs to it",
  argsUsage: "KIND ID|NAME",
  argsCount: { min: 2, max: 2 },
  help: [
    "Shows what would be deleted (with a consumer its credentials, with a route its plugins) and asks. --yes answers in advance; without a terminal and without --yes nothing is deleted and the command ends with 1. What other resources refer to is not deleted: a service that has routes stays.",
  ],
  examples: [
    ["holdfast delete route hello", "Delete a route, after asking"],
    ["holdfast delete consumer alice --yes", "Delete without being asked"],
  ],
  flags: {
    yes: toggle({
      summary: "Answer every question with yes, and allow mass deletion.",
    }),
    ...recordFlags,
    ...clientFlags,
  },
  async run({ io }, flags, [word = "", idOrName = ""]) {
    const kind = kindArgument(word);
    return withClient(io, flags, async (client) => {
      const request = create(TransactRequestSchema, {
        workspace: client.workspace,
        allowMassDelete: true,
        author: flags.author ?? "",
        message: flags.message ?? "",
      });
      const planned = await plan(client, request, kind, idOrName);
      if (!flags.yes) {
        io.stderr.write(changesTable(planned.changes, io.stderr));
        const count = planned.changes.length;
        const what = count === 1 ? "this resource" : `these ${count} resources`;
        if (!(await confirm(io, `Delete ${what}?`)))
          throw new Failure("not confirmed, nothing was changed");
        // Exactly what was shown: a dry run answers the revision that it would make.
        request.expectedRevision = planned.revision - 1n;
      }
      const answer = await client.config.transact(request, client.slowCall);
      writeWarnings(io.stderr, answer.warnings);
      if (flags.output === "table") {
        if (flags.yes) io.stdout.write(changesTable(answer.changes, io.stdout));
        io.stdout.write(
          `revision ${answer.revision}: ${countChanges(answer.changes)}\n`,
        );
      } else {
        writeValue(
          io.stdout,
          flags.output,
          json(TransactResponseSchema, answer),
        );
      }
      return EXIT.done;
    });
  },
});

/** Tries the deletion without doing it, and leaves the operation in the request. What looks like an id may be a name. */
async function plan(
  client: ControlPlaneClient,
  request: TransactRequest,
  kind: Kind,
  idOrName: string,
): Promise<TransactResponse> {
  const attempt = (by: "id" | "name") => {
    const filled = create(TransactRequestSchema, {
      operations: [
        {
          operation: {
            case: "delete",
            value: { kind, by: { case: by, value: idOrName } },
          },
        },
      ],
    });
    request.operations = filled.operations;
    return client.config.transact(
      { ...request, dryRun: true },
      client.slowCall,
    );
  };
  if (!isUuid(idOrName)) return attempt("name");
  try {
    return await attempt("id");
  } catch (error) {
    if (ConnectError.from(error).code !== Code.NotFound) throw error;
    return await attempt("name").catch(() => {
      throw error;
    });
  }
}
