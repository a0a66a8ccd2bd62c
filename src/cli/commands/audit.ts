import { create } from "@bufbuild/protobuf";
import {
  ListAuditRecordsResponseSchema,
  type AuditRecord,
} from "../../gen/holdfast/admin/v1/audit_service_pb.js";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { flag, toggle } from "../flags.ts";
import { EXIT } from "../io.ts";
import { listJson, timeText, writeValue } from "../output.ts";
import { table } from "../table.ts";
import { integer, textLike } from "../value-types.ts";

const PAGE_SIZE = 1000;

const anyText = textLike("NAME", /^/, "a name");

/** `holdfast audit` */
export const audit = command({
  name: "audit",
  summary: "Show who changed what, or tried to",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Newest first: calls that change something, calls that show secrets, and calls that were refused, with who made them, from where, and what came of it. About a hundred thousand are kept; cp --audit-log writes all to a file.",
    "Needs the role admin in the workspace, or with --all-workspaces in all of them.",
  ],
  examples: [
    ["holdfast audit --limit 20", "The last twenty"],
    ["holdfast audit --caller ci --method Apply", "What the pipeline applied"],
  ],
  flags: {
    limit: flag(integer(1, 100_000), {
      summary: "How many at most.",
      default: "50",
    }),
    method: flag(anyText, {
      summary: "Only calls of this method, such as Put.",
      default: "",
    }),
    caller: flag(anyText, {
      summary: "Only calls by this token or certificate.",
      default: "",
    }),
    allWorkspaces: toggle({
      summary: "Of all workspaces, and what is about none.",
    }),
    ...clientFlags,
  },
  async run({ io }, flags) {
    return withClient(io, flags, async (client) => {
      const records = await newest(client, flags);
      if (flags.output !== "table") {
        writeValue(
          io.stdout,
          flags.output,
          listJson(
            "records",
            ListAuditRecordsResponseSchema,
            create(ListAuditRecordsResponseSchema, { records }),
          ),
        );
        return EXIT.done;
      }
      io.stdout.write(table(TITLES, records.map(row), io.stdout));
      return EXIT.done;
    });
  },
});

const TITLES = [
  "TIME",
  "CALLER",
  "FROM",
  "WORKSPACE",
  "METHOD",
  "RESULT",
  "REVISION",
  "WHAT",
];

function row(record: AuditRecord): string[] {
  const { resources, resourceCount, revision, reason, omitted } = record;
  const [first] = resources;
  const what = [
    first === undefined
      ? ""
      : [first.action, first.kind, first.name || first.id]
          .filter((part) => part !== "")
          .join(" "),
    resourceCount > 1 ? `and ${resourceCount - 1} more` : "",
    reason,
    omitted > 0 ? `(${omitted} more like this were left out before)` : "",
  ];
  return [
    timeText(record.time),
    record.caller,
    record.from,
    record.workspace,
    `${record.method.replace(/^.*\//, "")}${record.dryRun ? " (dry run)" : ""}`,
    record.result,
    revision === 0n ? "" : String(revision),
    what.filter((part) => part !== "").join(" "),
  ];
}

async function newest(
  client: ControlPlaneClient,
  flags: {
    readonly limit: number;
    readonly method: string;
    readonly caller: string;
    readonly allWorkspaces: boolean;
  },
): Promise<AuditRecord[]> {
  const { limit, method, caller, allWorkspaces } = flags;
  const records: AuditRecord[] = [];
  let pageToken = "";
  do {
    const page = await client.audit.listAuditRecords(
      {
        workspace: allWorkspaces ? "" : client.workspace,
        allWorkspaces,
        method,
        caller,
        pageSize: Math.min(PAGE_SIZE, limit - records.length),
        pageToken,
      },
      client.call,
    );
    for (const record of page.records) records.push(record);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && records.length < limit);
  return records;
}
