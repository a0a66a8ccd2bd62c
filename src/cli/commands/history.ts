import { create } from "@bufbuild/protobuf";
import {
  GetRevisionResponseSchema,
  ListRevisionsResponseSchema,
  type Revision,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { argument } from "../argument.ts";
import { countChanges } from "../changes.ts";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { flag, toggle } from "../flags.ts";
import { EXIT } from "../io.ts";
import { json, listJson, timeText, writeValue } from "../output.ts";
import { describeChange } from "../resource-change.ts";
import { printable, table } from "../table.ts";
import { integer, revision as revisionType } from "../value-types.ts";

const PAGE_SIZE = 1000;

/** `holdfast history` */
export const history = command({
  name: "history",
  summary:
    "Show the revisions of the configuration, or what one of them changed",
  argsUsage: "[REVISION]",
  argsCount: { min: 0, max: 1 },
  help: [
    "Newest first: when a revision was made, by whom, why and how much it changed. With a REVISION, every field it changed, before and after. A control plane keeps the last 10,000 revisions unless its --history-revisions and --history-age say otherwise.",
    "Secrets are shown as *** unless --secrets is given.",
  ],
  examples: [
    ["holdfast history --limit 5", "The last five revisions"],
    ["holdfast history 42", "What revision 42 changed"],
  ],
  flags: {
    limit: flag(integer(1, 10_000), {
      summary: "How many revisions at most.",
      default: "20",
    }),
    secrets: toggle({ summary: "Show secrets in clear." }),
    ...clientFlags,
  },
  async run({ io }, flags, [word]) {
    const wanted =
      word === undefined ? undefined : argument("REVISION", revisionType, word);
    return withClient(io, flags, async (client) => {
      if (wanted === undefined) {
        const answer = await newest(client, flags.limit);
        if (flags.output === "table")
          io.stdout.write(
            table(TITLES, answer.revisions.map(revisionRow), io.stdout),
          );
        else
          writeValue(
            io.stdout,
            flags.output,
            listJson("revisions", ListRevisionsResponseSchema, answer),
          );
        return EXIT.done;
      }
      const answer = await client.config.getRevision(
        {
          workspace: client.workspace,
          revision: wanted,
          includeSecrets: flags.secrets,
        },
        client.call,
      );
      if (flags.output !== "table") {
        writeValue(
          io.stdout,
          flags.output,
          json(GetRevisionResponseSchema, answer),
        );
        return EXIT.done;
      }
      const { revision, changes } = answer;
      const left = (revision?.changeCount ?? 0) - changes.length;
      io.stdout.write(
        [
          ...(revision === undefined ? [] : [revisionHeadline(revision)]),
          ...changes.flatMap(describeChange),
          ...(left > 0 ? [`and ${left} more changes`] : []),
          "",
        ].join("\n"),
      );
      return EXIT.done;
    });
  },
});

const TITLES = ["REVISION", "TIME", "AUTHOR", "CHANGES", "MESSAGE"];

function revisionRow(entry: Revision): string[] {
  return [
    String(entry.cursor?.revision ?? 0n),
    timeText(entry.time),
    entry.author,
    countText(entry),
    entry.message,
  ];
}

/** A revision as one line: `revision 7  2026-08-23 10:15:00Z  alice  2 updated  why`. */
export function revisionHeadline(entry: Revision): string {
  const [number = "", ...rest] = revisionRow(entry);
  return [`revision ${number}`, ...rest.filter((part) => part !== "")]
    .map(printable)
    .join("  ");
}

/** The answer has the first changes only when there are many. */
function countText({ changes, changeCount }: Revision): string {
  return changes.length === changeCount
    ? countChanges(changes)
    : `${changeCount} changes`;
}

async function newest(client: ControlPlaneClient, limit: number) {
  const revisions: Revision[] = [];
  let pageToken = "";
  do {
    const page = await client.config.listRevisions(
      {
        workspace: client.workspace,
        pageSize: Math.min(PAGE_SIZE, limit - revisions.length),
        pageToken,
      },
      client.call,
    );
    for (const entry of page.revisions) revisions.push(entry);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && revisions.length < limit);
  return create(ListRevisionsResponseSchema, {
    revisions,
    nextPageToken: pageToken,
  });
}
