import {
  AdoptResponseSchema,
  type AdoptResponse,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type { Node } from "../../gen/holdfast/admin/v1/node_service_pb.js";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { describeCursor } from "../../model/cursor.ts";
import { confirm } from "../ask.ts";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { toggle } from "../flags.ts";
import { EXIT, Failure } from "../io.ts";
import { readFleet } from "../nodes.ts";
import { json, writeValue } from "../output.ts";
import { printable } from "../table.ts";

/** `holdfast adopt` */
export const adopt = command({
  name: "adopt",
  summary: "Make the nodes follow a control plane put back from a backup",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    'For a control plane whose data directory was put back from an older backup. Its nodes have seen revisions that it does not know any more; "holdfast nodes" shows them as forked, nothing is sent to them, and they go on serving what they have.',
    "Adopting gives the history a new epoch that replaces the present one. Content and revision stay as they are. All nodes then follow it, forked ones too: what they serve beyond the backup is replaced by what this control plane has. To keep that instead, put a newer backup in place, or apply the declarative files first.",
    "Shows which nodes are forked and asks. --yes answers in advance; without a terminal and without --yes nothing is changed and the command ends with 1.",
  ],
  examples: [
    ["holdfast nodes", "See which nodes are forked"],
    ["holdfast adopt", "Show what it means, ask, and do it"],
  ],
  flags: {
    yes: toggle({ summary: "Answer the question with yes." }),
    ...clientFlags,
  },
  async run({ io }, flags) {
    return withClient(io, flags, async (client) => {
      const head = await headOf(client);
      if (!flags.yes) {
        const forked = (await readFleet(client)).nodes.filter(isForked);
        io.stderr.write(printableLines(whatItMeans(head, forked)));
        if (!(await confirm(io, "Give this history a new epoch?")))
          throw new Failure("not confirmed, nothing was changed");
      }
      // Exactly the one that was shown, and not again when the answer was lost and somebody repeats this.
      const answer = await client.config.adopt(
        { workspace: client.workspace, epoch: head.epoch },
        client.call,
      );
      if (flags.output !== "table")
        writeValue(io.stdout, flags.output, json(AdoptResponseSchema, answer));
      else io.stdout.write(doneText(answer));
      return EXIT.done;
    });
  },
});

/** The control plane's head: the first thing that a watch tells. */
async function headOf({
  config,
  workspace,
  call,
}: ControlPlaneClient): Promise<Cursor> {
  const leave = new AbortController();
  try {
    const events = config.watch(
      { workspace },
      { ...call, signal: AbortSignal.any([call.signal, leave.signal]) },
    );
    for await (const { event } of events) {
      if (event.case === "heartbeat") return event.value;
      const cursor = event.value?.revision?.cursor;
      if (cursor !== undefined) return cursor;
    }
  } finally {
    leave.abort();
  }
  throw new Failure("the control plane did not say what its head is");
}

function isForked({ conditions }: Node): boolean {
  return conditions.includes("forked");
}

/** Nodes listed before the question, at most. */
const LISTED = 20;

function whatItMeans(head: Cursor, forked: readonly Node[]): string[] {
  const lines = [`this control plane is at ${describeCursor(head)}`];
  if (forked.length === 0)
    return [
      ...lines,
      "no node is forked now: adopting would change nothing but the epoch, and nodes that come back later with what this history does not have would follow it",
    ];
  lines.push(
    forked.length === 1
      ? "1 node is forked: it serves a state that this history does not have, and would go over to the one above"
      : `${forked.length} nodes are forked: they serve states that this history does not have, and would go over to the one above`,
  );
  for (const { id, hostname, serving } of forked.slice(0, LISTED))
    lines.push(`  ${id} (${hostname}) serves ${describeCursor(serving)}`);
  if (forked.length > LISTED)
    lines.push(`  and ${forked.length - LISTED} more`);
  return lines;
}

function printableLines(lines: readonly string[]): string {
  return lines.map((line) => `${printable(line)}\n`).join("");
}

function doneText({ cursor, predecessors }: AdoptResponse): string {
  return `${describeCursor(cursor)} replaces epoch ${predecessors.at(-1) ?? "none"}; "holdfast nodes" shows the nodes following\n`;
}
