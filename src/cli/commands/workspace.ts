import { create } from "@bufbuild/protobuf";
import {
  CopyWorkspaceResponseSchema,
  CreateWorkspaceResponseSchema,
  DeleteWorkspaceResponseSchema,
  ListWorkspacesResponseSchema,
  type Workspace,
} from "../../gen/holdfast/admin/v1/workspace_service_pb.js";
import { confirm } from "../ask.ts";
import { clientFlags, withClient, type ControlPlaneClient } from "../client.ts";
import { command } from "../command.ts";
import { toggle, type Values } from "../flags.ts";
import { EXIT, Failure, UsageError, type Io, type Output } from "../io.ts";
import { json, listJson, writeValue } from "../output.ts";
import { recordFlags } from "../record-flags.ts";
import { printable, table } from "../table.ts";

const flags = {
  force: toggle({
    summary: "Delete a workspace although it is not empty, or cannot be read.",
  }),
  yes: toggle({ summary: "Answer every question with yes." }),
  ...recordFlags,
  ...clientFlags,
};

type Flags = Values<typeof flags>;
type Action = (
  io: Io,
  client: ControlPlaneClient,
  flags: Flags,
  names: readonly string[],
) => Promise<void>;

/** What can be done, and how many names it takes. */
const ACTIONS: ReadonlyMap<
  string,
  { readonly names: number; readonly run: Action }
> = new Map([
  ["list", { names: 0, run: list }],
  ["create", { names: 1, run: createOne }],
  ["delete", { names: 1, run: deleteOne }],
  ["copy", { names: 2, run: copyOne }],
]);

/** `holdfast workspace` */
export const workspace = command({
  name: "workspace",
  summary: "List, create, copy and delete workspaces",
  argsUsage: "list|create NAME|copy FROM TO|delete NAME",
  argsCount: { min: 1, max: 3 },
  help: [
    'A workspace is a configuration with a history and nodes of its own. Other commands are about the one that --workspace names, "default" without it; a data plane is of the one that its own --workspace names.',
    '"create" makes an empty one. "copy" makes one with the present content of another, secrets included, as revision 1 of its own history. A name is 1 to 63 of a-z, 0-9 and "-".',
    '"delete" removes one with its history, for ever, after asking; one that has resources only with --force. Its nodes go on serving what they have, and are told that it is gone. "default" cannot be deleted.',
  ],
  examples: [
    ["holdfast workspace list", "All workspaces, and how their nodes are"],
    ["holdfast workspace copy default staging", "A copy to try things with"],
    ["holdfast apply -f kong.yml --workspace staging", "Change the copy only"],
    ["holdfast workspace delete staging --force", "And remove it again"],
  ],
  flags,
  async run({ io }, flags, [verb = "", ...names]) {
    const action = ACTIONS.get(verb);
    if (action === undefined)
      throw new UsageError([
        `"${printable(verb)}" is nothing to do with a workspace: ${[...ACTIONS.keys()].join(", ")} are`,
      ]);
    if (names.length !== action.names)
      throw new UsageError([
        `"workspace ${verb}" takes ${["no name", "one name", "two names"][action.names] ?? ""}, and there ${names.length === 1 ? "is" : "are"} ${names.length}`,
      ]);
    if (flags.force && verb !== "delete")
      throw new UsageError(["--force is for workspace delete"]);
    return withClient(io, flags, async (client) => {
      await action.run(io, client, flags, names);
      return EXIT.done;
    });
  },
});

async function list(
  io: Io,
  { workspaces: rpc, call }: ControlPlaneClient,
  { output }: Flags,
): Promise<void> {
  const workspaces: Workspace[] = [];
  for (let pageToken = ""; ;) {
    const page = await rpc.listWorkspaces({ pageToken }, call);
    workspaces.push(...page.workspaces);
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  if (output === "table") {
    io.stdout.write(workspacesTable(workspaces, io.stdout));
    for (const { name, unavailable } of workspaces)
      if (unavailable !== "")
        io.stderr.write(`${name}: ${printable(unavailable)}\n`);
  } else
    writeValue(
      io.stdout,
      output,
      listJson(
        "workspaces",
        ListWorkspacesResponseSchema,
        create(ListWorkspacesResponseSchema, { workspaces }),
      ),
    );
}

async function createOne(
  io: Io,
  { workspaces: rpc, call }: ControlPlaneClient,
  { output }: Flags,
  [name = ""]: readonly string[],
): Promise<void> {
  const answer = await rpc.createWorkspace({ workspace: name }, call);
  if (output === "table") io.stdout.write(`workspace ${name} was created\n`);
  else
    writeValue(io.stdout, output, json(CreateWorkspaceResponseSchema, answer));
}

async function copyOne(
  io: Io,
  { workspaces: rpc, slowCall }: ControlPlaneClient,
  { output, author = "", message = "" }: Flags,
  [from = "", to = ""]: readonly string[],
): Promise<void> {
  const answer = await rpc.copyWorkspace(
    { workspace: from, to, author, message },
    slowCall,
  );
  if (output === "table")
    io.stdout.write(
      `workspace ${to} was created with the ${resources(answer.workspace)} of ${from}\n`,
    );
  else writeValue(io.stdout, output, json(CopyWorkspaceResponseSchema, answer));
}

async function deleteOne(
  io: Io,
  { workspaces: rpc, call }: ControlPlaneClient,
  { output, force, yes }: Flags,
  [name = ""]: readonly string[],
): Promise<void> {
  if (!yes) {
    const { workspace: found } = await rpc.getWorkspace(
      { workspace: name },
      call,
    );
    const content =
      found?.unavailable === ""
        ? `its ${resources(found)}, its history and its ${found.nodesKnown} known ${found.nodesKnown === 1 ? "node" : "nodes"}`
        : "all that it has, which cannot be read,";
    if (
      !(await confirm(io, `Delete workspace ${name} with ${content} for ever?`))
    )
      throw new Failure("not confirmed, nothing was changed");
  }
  const answer = await rpc.deleteWorkspace({ workspace: name, force }, call);
  if (output === "table") io.stdout.write(`workspace ${name} was deleted\n`);
  else
    writeValue(io.stdout, output, json(DeleteWorkspaceResponseSchema, answer));
}

function workspacesTable(
  workspaces: readonly Workspace[],
  out: Output,
): string {
  return table(
    ["WORKSPACE", "REVISION", "RESOURCES", "NODES", "IN SYNC", "EPOCH"],
    workspaces.map((one) =>
      one.unavailable === ""
        ? [
            one.name,
            String(one.head?.revision ?? 0n),
            String(one.entryCount),
            `${one.nodesConnected} of ${one.nodesKnown} connected`,
            String(one.nodesInSync),
            one.head?.epoch ?? "",
          ]
        : [one.name, "unavailable", "", "", "", ""],
    ),
    out,
  );
}

function resources(of: Workspace | undefined): string {
  const count = of?.entryCount ?? 0n;
  return `${count} ${count === 1n ? "resource" : "resources"}`;
}
