import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  CopyWorkspaceRequest,
  ListWorkspacesRequest,
  ListWorkspacesResponseSchema,
  WorkspaceService,
} from "../../gen/holdfast/admin/v1/workspace_service_pb.js";
import { decodePageToken, encodePageToken } from "../catalog/pages.ts";
import { callerMay } from "./caller.ts";
import type { AdminContext, WorkspaceView } from "./deps.ts";
import { workspaceNameOf } from "./in-workspace.ts";
import { RequestForm } from "./request-form.ts";

/** What a workspace may be called. */
const NAME = /^[a-z0-9-]{1,63}$/;

/** The handlers of WorkspaceService. */
export function workspaceService(
  context: AdminContext,
): Required<ServiceImpl<typeof WorkspaceService>> {
  const { workspaces } = context;
  return {
    createWorkspace: async ({ workspace }) => {
      const name = nameOf("workspace", workspace);
      return { workspace: described(await workspaces.create(name)) };
    },
    listWorkspaces: (request, call) => listWorkspaces(context, request, call),
    getWorkspace: (request) => ({
      workspace: described(workspaces.describe(workspaceNameOf(request))),
    }),
    deleteWorkspace: async ({ workspace, force }) => {
      await workspaces.delete(nameOf("workspace", workspace), { force });
      return {};
    },
    copyWorkspace: (request, call) => copyWorkspace(context, request, call),
  };
}

/** A page of the workspaces, by name. A token names the last of its page. */
function listWorkspaces(
  { workspaces }: AdminContext,
  request: ListWorkspacesRequest,
  call: HandlerContext,
): MessageInitShape<typeof ListWorkspacesResponseSchema> {
  const form = new RequestForm();
  const pageSize = form.pageSize(request.pageSize);
  form.check();
  const last = decodePageToken("workspaces", request.pageToken);
  const rest = workspaces
    .list()
    .filter(({ name }) => name > last && callerMay(call, "read", name));
  const page = rest.slice(0, pageSize);
  const end = page.at(-1);
  return {
    workspaces: page.map(described),
    nextPageToken:
      end === undefined || page.length === rest.length
        ? ""
        : encodePageToken("workspaces", end.name),
  };
}

async function copyWorkspace(
  { workspaces }: AdminContext,
  request: CopyWorkspaceRequest,
  call: HandlerContext,
) {
  const form = new RequestForm();
  const { author, message } = form.note(request, call);
  form.check();
  const from = workspaceNameOf(request);
  const to = nameOf("to", request.to);
  const copy = await workspaces.copy(from, to, { author, message });
  return { workspace: described(copy) };
}

function nameOf(field: string, name: string): string {
  const form = new RequestForm();
  if (!NAME.test(name))
    form.refuse(
      field,
      `${name === "" ? "is missing" : JSON.stringify(name.slice(0, 64))}: a workspace's name is 1 to 63 of a-z, 0-9 and "-"`,
    );
  form.check();
  return name;
}

function described(view: WorkspaceView) {
  if ("reason" in view) return { name: view.name, unavailable: view.reason };
  const { name, catalog, nodes } = view;
  const { cursor, snapshot } = catalog.head;
  const { nodes: figures, sessions } = nodes.figures;
  return {
    name,
    head: cursor,
    entryCount: BigInt(snapshot.entryCount),
    byteCount: BigInt(snapshot.byteCount),
    nodesKnown: figures.known,
    nodesConnected: sessions,
    nodesInSync: figures.inSync,
  };
}
