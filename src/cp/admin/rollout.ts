import type { ServiceImpl } from "@connectrpc/connect";
import type {
  Node,
  NodeService,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { ConfigError } from "../../model/violation.ts";
import type { Nodes } from "../distributor/nodes.ts";
import type { AdminContext } from "./deps.ts";
import { depsFor } from "./in-workspace.ts";
import { knownRevision } from "./known-revision.ts";
import { RequestForm } from "./request-form.ts";

/** Nodes that an answer shows at most: there may be ten thousand, and ListNodes has pages. */
const SHOWN = 1_000;

/** The handlers that keep nodes at revisions. */
export function rolloutHandlers(
  context: AdminContext,
): Pick<
  Required<ServiceImpl<typeof NodeService>>,
  "pin" | "unpin" | "pause" | "resume"
> {
  return {
    pin: async (request) => {
      const { catalog, nodes } = depsFor(context, request);
      const { workspace } = catalog;
      const form = new RequestForm();
      if (request.revision === 0n)
        form.refuse("revision", "is missing: say at which one nodes are to be");
      const ids = selected(nodes, workspace, request, form);
      knownRevision("revision", request.revision, catalog.head.cursor.revision);
      await nodes.pin(workspace, ids, request.revision);
      return { nodes: shown(nodes, workspace, ids) };
    },
    unpin: async (request) => {
      const { catalog, nodes } = depsFor(context, request);
      const { workspace } = catalog;
      const ids = selected(nodes, workspace, request, new RequestForm());
      await nodes.unpin(workspace, ids);
      return { nodes: shown(nodes, workspace, ids) };
    },
    pause: async (request) => {
      const { catalog, nodes } = depsFor(context, request);
      return { revision: await nodes.pause(catalog.workspace) };
    },
    resume: async (request) => {
      const { catalog, nodes } = depsFor(context, request);
      return { revision: await nodes.resume(catalog.workspace) };
    },
  };
}

/** The ids of the nodes that a request is about. */
function selected(
  nodes: Nodes,
  workspace: string,
  { id, labels }: Pick<Node, "id" | "labels">,
  form: RequestForm,
): readonly string[] {
  const isLabelled = Object.keys(labels).length > 0;
  if (id === "" && !isLabelled)
    form.refuse("id", "is missing: say which node, or give labels");
  if (id !== "" && isLabelled)
    form.refuse("labels", "cannot be given together with an id");
  form.check();
  if (id !== "") {
    // A pin may outlive what is known of its node.
    if (
      nodes.get(workspace, id) === undefined &&
      !nodes.isPinned(workspace, id)
    )
      throw noSuchNode(id);
    return [id];
  }
  const found = nodes.labelled(workspace, labels);
  if (found.length > 0) return found;
  const words = Object.entries(labels).map(([name, value]) =>
    JSON.stringify(`${name}=${value}`),
  );
  throw ConfigError.of("not_found", [
    {
      kind: "",
      name: "",
      field: "labels",
      reason: `no node has ${words.join(" and ")}`,
    },
  ]);
}

function shown(
  nodes: Nodes,
  workspace: string,
  ids: readonly string[],
): Node[] {
  return ids.slice(0, SHOWN).flatMap((id) => nodes.get(workspace, id) ?? []);
}

/** Nobody knows a node of this id. */
export function noSuchNode(id: string): ConfigError {
  return ConfigError.of("not_found", [
    {
      kind: "",
      name: "",
      field: "id",
      reason: `there is no node ${JSON.stringify(id)}`,
    },
  ]);
}
