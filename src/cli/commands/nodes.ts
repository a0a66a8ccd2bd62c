import {
  ListNodesResponseSchema,
  NodeSchema,
  WatchNodesResponseSchema,
  type Node,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { toggle } from "../flags.ts";
import { follow } from "../follow.ts";
import { EXIT, Failure, UsageError } from "../io.ts";
import { didYouMean } from "../nearest.ts";
import { json, listJson, timeText, writeEvent, writeValue } from "../output.ts";
import { printable, table } from "../table.ts";

/** `holdfast nodes` */
export const nodes = command({
  name: "nodes",
  summary: "Show the data planes, what each serves, and why not the newest",
  argsUsage: "[retry NODE]",
  argsCount: { min: 0, max: 2 },
  help: [
    "Each node with the revision it serves and, when that is not the newest, the reason. A node that was gone for 14 days is forgotten.",
    '"nodes retry NODE" offers a node the newest state again although it has refused it. NODE is its id or, when only one has it, its host name.',
    "With --watch every node is printed once and then whenever something about it changes, until interrupted; with -o json each time as one line.",
  ],
  examples: [
    ["holdfast nodes", "All data planes"],
    ["holdfast nodes --watch", "Follow them"],
    ["holdfast nodes retry edge-7", "Make a node try again what it refused"],
  ],
  flags: {
    watch: toggle({ summary: "Go on printing what changes." }),
    ...clientFlags,
  },
  async run({ io }, flags, [verb, word]) {
    const usage = checkWords(verb, word, flags.watch);
    if (usage !== undefined) throw new UsageError([usage]);
    return withClient(io, flags, async (client) => {
      if (word !== undefined) {
        const { id } = await nodeNamed(client, word);
        const { node } = await client.nodes.retry(
          { workspace: client.workspace, id },
          client.call,
        );
        if (flags.output !== "table" && node !== undefined)
          writeValue(io.stdout, flags.output, json(NodeSchema, node));
        else io.stdout.write(`node ${id} is offered the newest state again\n`);
        return EXIT.done;
      }
      if (!flags.watch) {
        const answer = await list(client);
        if (flags.output === "table")
          io.stdout.write(table(TITLES, answer.nodes.map(row), io.stdout));
        else
          writeValue(
            io.stdout,
            flags.output,
            listJson("nodes", ListNodesResponseSchema, answer),
          );
        return EXIT.done;
      }
      return follow(
        io,
        client,
        (signal) =>
          client.nodes.watchNodes({ workspace: client.workspace }, { signal }),
        (event) => {
          if (flags.output !== "table")
            writeEvent(
              io.stdout,
              flags.output,
              json(WatchNodesResponseSchema, event),
            );
          else if (event.node !== undefined)
            io.stdout.write(nodeLine(event.node, event.removed));
        },
      );
    });
  },
});

const TITLES = [
  "ID",
  "HOSTNAME",
  "CONNECTED",
  "REVISION",
  "IN SYNC",
  "LAST SEEN",
  "REASON",
];

function row(node: Node): string[] {
  return [
    node.id,
    node.hostname,
    yesNo(node.connected),
    String(node.serving?.revision ?? "none"),
    yesNo(node.inSync),
    timeText(node.lastSeen),
    reasonOf(node),
  ];
}

/** A node as one line of a log. */
function nodeLine(node: Node, removed: boolean): string {
  const reason = reasonOf(node);
  const state = removed
    ? ["forgotten"]
    : [
        node.connected ? "connected" : "disconnected",
        node.serving === undefined
          ? "serves nothing"
          : `serves revision ${node.serving.revision}`,
        node.inSync
          ? "in sync"
          : `not in sync${reason === "" ? "" : `: ${reason}`}`,
      ];
  const time = timeText(node.lastSeen);
  return `${printable([time, `${node.id} (${node.hostname})`, ...state].join("  "))}\n`;
}

function reasonOf({ reason, lastNack, inSync }: Node): string {
  if (reason !== "" || inSync || lastNack === undefined) return reason;
  const [first] = lastNack.violations;
  return first === undefined
    ? lastNack.class
    : `${lastNack.class}: ${first.key}: ${[first.field, first.reason].filter((part) => part !== "").join(": ")}`;
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}

function list({ nodes: rpc, workspace, call }: ControlPlaneClient) {
  return rpc.listNodes({ workspace }, call);
}

/** Finds a node by its id, else by its host name, else by the beginning of its id. */
async function nodeNamed(
  client: ControlPlaneClient,
  word: string,
): Promise<Node> {
  const all = (await list(client)).nodes;
  const exact = all.find(({ id }) => id === word);
  if (exact !== undefined) return exact;
  const byHostname = all.filter(({ hostname }) => hostname === word);
  const found =
    byHostname.length > 0
      ? byHostname
      : all.filter(({ id }) => id.startsWith(word));
  const [only, ...others] = found;
  if (only === undefined) {
    const known = all.flatMap(({ id, hostname }) => [id, hostname]);
    throw new Failure(
      `there is no node "${word}" in workspace "${client.workspace}".${didYouMean(word, known)} See "holdfast nodes".`,
    );
  }
  if (others.length > 0)
    throw new Failure(
      `"${word}" may be any of ${found.map(({ id }) => id).join(", ")}: give the id`,
    );
  return only;
}

function checkWords(
  verb: string | undefined,
  word: string | undefined,
  watched: boolean,
): string | undefined {
  if (verb === undefined) return undefined;
  if (verb !== "retry")
    return `"${verb}" is nothing that can be done with nodes.${didYouMean(verb, ["retry"], "nodes ")} Possible: holdfast nodes, holdfast nodes --watch, holdfast nodes retry NODE`;
  if (word === undefined) return "which node? holdfast nodes retry NODE";
  return watched ? "--watch does not go together with retry" : undefined;
}
