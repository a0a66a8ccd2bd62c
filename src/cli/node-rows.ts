import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Node } from "../gen/holdfast/admin/v1/node_service_pb.js";
import type { Output } from "./io.ts";
import { timeText } from "./output.ts";
import { printable, table } from "./table.ts";

/** Nodes as a table, a line each. What they are warned about has a column only when there is something. */
export function nodesTable(nodes: readonly Node[], out: Output): string {
  const columns = COLUMNS.filter(
    ({ optional, cell }) =>
      optional !== true || nodes.some((node) => cell(node) !== ""),
  );
  return table(
    columns.map(({ title }) => title),
    nodes.map((node) => columns.map(({ cell }) => cell(node))),
    out,
  );
}

interface Column {
  readonly title: string;
  readonly cell: (node: Node) => string;
  /** Left out when it would be empty. */
  readonly optional?: boolean;
}

const COLUMNS: readonly Column[] = [
  { title: "ID", cell: ({ id }) => id },
  { title: "HOSTNAME", cell: ({ hostname }) => hostname },
  { title: "CONNECTED", cell: ({ connected }) => yesNo(connected) },
  {
    title: "REVISION",
    cell: ({ serving }) => String(serving?.revision ?? "none"),
  },
  { title: "IN SYNC", cell: ({ inSync }) => yesNo(inSync) },
  {
    title: "CONDITION",
    cell: ({ conditions }) => conditions.join(","),
    optional: true,
  },
  { title: "LAST SEEN", cell: ({ lastSeen }) => timeText(lastSeen) },
  { title: "REASON", cell: (node) => reasonOf(node) },
];

/** A node as one line of a log. */
export function nodeLine(node: Node, removed: boolean): string {
  const reason = reasonOf(node);
  const state = removed
    ? ["forgotten"]
    : [
        node.connected ? "connected" : "disconnected",
        node.serving === undefined
          ? "serves nothing"
          : `serves revision ${node.serving.revision}`,
        ...node.conditions,
        node.inSync
          ? "in sync"
          : `not in sync${reason === "" ? "" : `: ${reason}`}`,
      ];
  const time = timeText(node.lastSeen);
  return `${printable([time, `${node.id} (${node.hostname})`, ...state].join("  "))}\n`;
}

/** Why a node does not serve the newest state, and how far it is on the way there. */
function reasonOf(node: Node): string {
  return [whyNot(node), progressOf(node)]
    .filter((part) => part !== "")
    .join("; ");
}

function whyNot({ reason, lastNack, inSync }: Node): string {
  if (reason !== "" || inSync || lastNack === undefined) return reason;
  const [first] = lastNack.violations;
  return first === undefined
    ? lastNack.class
    : `${lastNack.class}: ${first.key}: ${[first.field, first.reason].filter((part) => part !== "").join(": ")}`;
}

function progressOf({ progress }: Node): string {
  if (progress === undefined) return "";
  const { revision, step, done, total } = progress;
  const share = total > 0n ? ` ${(done * 100n) / total} %` : "";
  return `revision ${revision}: ${step}${share}`;
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}

/** A certificate that expires within this time is to be renewed. */
const EXPIRES_SOON_MS = 30 * 24 * 60 * 60 * 1000;

/** Nodes named in the note on certificates, at most. */
const NAMED = 5;

/** A line on the certificates of connected nodes that expire soon, the first to expire first; empty when none does. */
export function expiryNote(nodes: readonly Node[], nowMs: number): string {
  const soon = nodes
    // Of one that is gone it is not known which certificate it comes back with, nor whether it does.
    .filter(({ connected }) => connected)
    .flatMap((node) => {
      const time = node.certificate?.expiresAt;
      return time !== undefined && timestampMs(time) - nowMs < EXPIRES_SOON_MS
        ? [{ node, time }]
        : [];
    })
    .sort((a, b) => timestampMs(a.time) - timestampMs(b.time));
  if (soon.length === 0) return "";
  const named = soon
    .slice(0, NAMED)
    .map(({ node, time }) => `${node.id} (${timeText(time)})`);
  const more = soon.length - named.length;
  const which = named.join(", ") + (more > 0 ? ` and ${more} more` : "");
  return `${printable(
    soon.length === 1
      ? `the certificate of a node expires within 30 days: ${which}`
      : `the certificates of ${soon.length} nodes expire within 30 days: ${which}`,
  )}\n`;
}
