import { create } from "@bufbuild/protobuf";
import {
  PinResponseSchema,
  UnpinResponseSchema,
  type Node,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { argument } from "../argument.ts";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { list } from "../flags.ts";
import { EXIT, UsageError } from "../io.ts";
import { nodeNamed } from "../nodes.ts";
import { json, writeValue } from "../output.ts";
import { printable } from "../table.ts";
import { keyValue, revision } from "../value-types.ts";

const labelFlag = list(keyValue, {
  summary:
    "Instead of NODE: all nodes there are now with this label; may be given several times.",
  short: "l",
});

type Labels = readonly (readonly [string, string])[];

/** Nodes that are named in what is printed, at most. */
const NAMED = 20;

/** `holdfast nodes pin` */
export const nodesPin = command({
  name: "nodes pin",
  summary: "Keep data planes at a revision",
  argsUsage: "NODE|-l KEY=VALUE REVISION",
  argsCount: { min: 1, max: 2 },
  help: [
    "Each node is sent exactly that revision, and no other until it is unpinned: over restarts of nodes and control planes, and while its workspace is paused. NODE is its id or, when only one has it, its host name.",
    "A node never goes back within an epoch: when one of them serves a later revision, none is pinned. To bring an old content back, roll back to it and pin to the revision that this makes. A node that turns out to serve a later revision when it connects stays there, and says so.",
    "With --label the nodes are pinned that have it now, each by itself; one that gets it later is not.",
  ],
  examples: [
    ["holdfast nodes pin edge-7 12", "Keep a node at revision 12"],
    ["holdfast nodes pin -l zone=eu 12", "Keep all nodes of a zone there"],
  ],
  flags: { label: labelFlag, ...clientFlags },
  run: ({ io }, flags, args) => {
    const { word, rest } = wordOf(flags.label, args, 1);
    const wanted = argument("REVISION", revision, rest[0] ?? "");
    return withClient(io, flags, async (client) => {
      const { workspace, nodes, call } = client;
      const who = await selection(client, word, flags.label);
      const answer = await nodes.pin(
        { workspace, ...who, revision: wanted },
        call,
      );
      if (flags.output !== "table")
        writeValue(io.stdout, flags.output, json(PinResponseSchema, answer));
      else
        io.stdout.write(
          `${printable(`${named(answer.nodes)} pinned to revision ${wanted}`)}\n`,
        );
      return EXIT.done;
    });
  },
});

/** `holdfast nodes unpin` */
export const nodesUnpin = command({
  name: "nodes unpin",
  summary: "Let data planes follow the newest revision again",
  argsUsage: "NODE|-l KEY=VALUE",
  argsCount: { min: 0, max: 1 },
  help: [
    "The nodes are sent the newest revision, or that at which their workspace is paused. Those that are not pinned stay as they are.",
  ],
  examples: [
    ["holdfast nodes unpin edge-7", "Let a node follow again"],
    ["holdfast nodes unpin -l zone=eu", "Let all nodes of a zone follow again"],
  ],
  flags: { label: labelFlag, ...clientFlags },
  run: ({ io }, flags, args) => {
    const { word } = wordOf(flags.label, args, 0);
    return withClient(io, flags, async (client) => {
      const { workspace, nodes, call } = client;
      const who = await selection(client, word, flags.label);
      const answer = await nodes.unpin({ workspace, ...who }, call);
      if (flags.output !== "table")
        writeValue(
          io.stdout,
          flags.output,
          json(UnpinResponseSchema, create(UnpinResponseSchema, answer)),
        );
      else
        io.stdout.write(
          `${printable(`${named(answer.nodes)} not pinned any more`)}\n`,
        );
      return EXIT.done;
    });
  },
});

/** The node that is named, unless labels are given, and the other words. */
function wordOf(
  labels: Labels,
  args: readonly string[],
  others: number,
): { readonly word: string | undefined; readonly rest: readonly string[] } {
  if (labels.length > 0 && args.length > others)
    throw new UsageError(["give either NODE or --label, not both"]);
  if (labels.length > 0) return { word: undefined, rest: args };
  if (args.length <= others)
    throw new UsageError(["which node? Give NODE, or --label KEY=VALUE"]);
  return { word: args[0], rest: args.slice(1) };
}

async function selection(
  client: ControlPlaneClient,
  word: string | undefined,
  labels: Labels,
): Promise<Pick<Node, "id" | "labels">> {
  if (word === undefined) return { id: "", labels: Object.fromEntries(labels) };
  const { id } = await nodeNamed(client, word);
  return { id, labels: {} };
}

/** "node a is", "5 nodes (a, b, …) are". */
function named(nodes: readonly Node[]): string {
  const [first] = nodes;
  if (nodes.length === 1 && first !== undefined) return `node ${first.id} is`;
  const ids = nodes.slice(0, NAMED).map(({ id }) => id);
  const more = nodes.length > NAMED ? ", …" : "";
  return `${nodes.length} nodes (${ids.join(", ")}${more}) are`;
}
