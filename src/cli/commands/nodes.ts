import { create } from "@bufbuild/protobuf";
import {
  ListNodesResponseSchema,
  NodeSchema,
  WatchNodesResponseSchema,
  type Node,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { systemClock } from "../../runtime/clock.ts";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { toggle } from "../flags.ts";
import { follow } from "../follow.ts";
import { EXIT, UsageError } from "../io.ts";
import { didYouMean } from "../nearest.ts";
import { expiryNote, nodeLine, nodesTable } from "../node-rows.ts";
import { nodeNamed, readFleet } from "../nodes.ts";
import { json, listJson, writeEvent, writeValue } from "../output.ts";
import { printable } from "../table.ts";

/** `holdfast nodes` */
export const nodes = command({
  name: "nodes",
  summary: "Show the data planes, what each serves, and why not the newest",
  argsUsage: "[retry|allow|forget NODE]",
  argsCount: { min: 0, max: 2 },
  help: [
    "Each node with the revision it serves and, when that is not the newest, the reason and how far it is. A node that was gone for 14 days is forgotten.",
    "CONDITION names what somebody should know of: forked (it serves a state that this control plane's history does not have, and is sent nothing: see adopt), held (it waits to be allowed to lose more than half of its entries), quarantined (it crashed repeatedly on the newest state), refused (it refuses the newest state), regressed (it serves less than it had acknowledged), degraded (it lacks a feature and answers 503 on the routes concerned), lacking (it lacks a feature and is not sent the newest state), pinned (see nodes pin), paused (see pause).",
    '"nodes retry NODE" offers a node the newest state again although it has refused it. "nodes allow NODE" lets a node that is held follow this control plane although that removes more than half of its entries; of one that is not held the permission is kept for the present epoch. "nodes forget NODE" drops a node that is not connected from the list. NODE is its id or, when only one has it, its host name.',
    "With --watch every node is printed once and then whenever something about it changes, until interrupted; with -o json each time as one line.",
  ],
  examples: [
    ["holdfast nodes", "All data planes"],
    ["holdfast nodes --watch", "Follow them"],
    ["holdfast nodes retry edge-7", "Make a node try again what it refused"],
    ["holdfast nodes allow edge-7", "Let a held node go on"],
    ["holdfast nodes forget edge-7", "Drop a node that will not come back"],
  ],
  flags: {
    watch: toggle({ summary: "Go on printing what changes." }),
    ...clientFlags,
  },
  async run({ io }, flags, [verb, word]) {
    const { action, problem } = actionOf(verb, word, flags.watch);
    if (problem !== undefined) throw new UsageError([problem]);
    return withClient(io, flags, async (client) => {
      if (action !== undefined && word !== undefined) {
        const named = await nodeNamed(client, word);
        const done = await action(client, named);
        if (flags.output !== "table")
          writeValue(io.stdout, flags.output, json(NodeSchema, done.node));
        else io.stdout.write(`${printable(done.text)}\n`);
        return EXIT.done;
      }
      if (!flags.watch) {
        const fleet = await readFleet(client);
        const { nodes: all, pausedRevision } = fleet;
        if (flags.output === "table") {
          io.stdout.write(nodesTable(all, io.stdout));
          if (pausedRevision !== undefined)
            io.stderr.write(
              `workspace ${client.workspace} is paused at revision ${pausedRevision}\n`,
            );
          io.stderr.write(expiryNote(all, systemClock.now()));
        } else
          writeValue(
            io.stdout,
            flags.output,
            listJson(
              "nodes",
              ListNodesResponseSchema,
              create(ListNodesResponseSchema, fleet),
            ),
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

/** What was done with a node: how it is now, and a line about it. */
interface Done {
  readonly node: Node;
  readonly text: string;
}

type Action = (client: ControlPlaneClient, node: Node) => Promise<Done>;

const ACTIONS: ReadonlyMap<string, Action> = new Map<string, Action>([
  [
    "retry",
    async ({ nodes: rpc, workspace, call }, node) => {
      const { id } = node;
      const answer = await rpc.retry({ workspace, id }, call);
      return {
        node: answer.node ?? node,
        text: `node ${id} is offered the newest state again`,
      };
    },
  ],
  [
    "allow",
    async ({ nodes: rpc, workspace, call }, node) => {
      const { id } = node;
      const answer = await rpc.allow({ workspace, id }, call);
      return {
        node: answer.node ?? node,
        // As it was when somebody decided that.
        text: node.conditions.includes("held")
          ? `node ${id} may follow this control plane, whatever it loses by that`
          : `node ${id} holds nothing back now, so there is nothing to allow; the permission stays, for this control plane's present epoch`,
      };
    },
  ],
  [
    "forget",
    async ({ nodes: rpc, workspace, call }, node) => {
      const { id } = node;
      await rpc.forget({ workspace, id }, call);
      return { node, text: `node ${id} is forgotten` };
    },
  ],
]);

function actionOf(
  verb: string | undefined,
  word: string | undefined,
  watched: boolean,
): { readonly action?: Action; readonly problem?: string } {
  if (verb === undefined) return {};
  const action = ACTIONS.get(verb);
  const verbs = [...ACTIONS.keys()];
  if (action === undefined)
    return {
      problem: `"${verb}" is nothing that can be done with nodes.${didYouMean(verb, verbs, "nodes ")} Possible: holdfast nodes, holdfast nodes --watch, holdfast nodes ${verbs.join("|")} NODE`,
    };
  if (word === undefined)
    return { problem: `which node? holdfast nodes ${verb} NODE` };
  if (watched) return { problem: `--watch does not go together with ${verb}` };
  return { action };
}
