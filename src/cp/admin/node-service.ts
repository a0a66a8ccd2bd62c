import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  NodeSchema,
  type Node,
  type NodeService,
  type WatchNodesRequest,
  type WatchNodesResponseSchema,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { ConfigError } from "../../model/violation.ts";
import { Doorbell } from "../../runtime/doorbell.ts";
import type { AdminDeps } from "./deps.ts";
import { RequestForm, workspaceOf } from "./request-form.ts";
import { ANSWER_BYTES, Room } from "./room.ts";

/** Nothing is looked for without an event; this only bounds the wait. */
const WAIT_MS = 60_000;

/** The handlers of NodeService. */
export function nodeService(
  deps: AdminDeps,
): Required<ServiceImpl<typeof NodeService>> {
  const { catalog, nodes } = deps;
  return {
    listNodes: (request, call) => {
      const listed = nodes.list(workspaceOf(request, catalog.workspace));
      const fitted = new Room(call).fit(NodeSchema, listed);
      if (fitted.length < listed.length)
        throw new ConfigError(
          "resource_exhausted",
          `${listed.length} nodes do not fit into one answer of ${ANSWER_BYTES} bytes; WatchNodes streams them`,
        );
      return { nodes: fitted };
    },
    getNode: (request) => {
      const workspace = workspaceOf(request, catalog.workspace);
      const id = idOf(request);
      return { node: found(nodes.get(workspace, id), id) };
    },
    watchNodes: (request, call) => watchNodes(deps, request, call),
    retry: (request) => {
      const workspace = workspaceOf(request, catalog.workspace);
      const id = idOf(request);
      return { node: found(nodes.retry(workspace, id), id) };
    },
  };
}

/**
 * All nodes once, then each whenever it changes. What waits to be sent is one state a node, however slowly the client
 * reads.
 */
async function* watchNodes(
  { catalog, nodes, clock }: AdminDeps,
  request: WatchNodesRequest,
  { signal }: HandlerContext,
): AsyncGenerator<MessageInitShape<typeof WatchNodesResponseSchema>> {
  const workspace = workspaceOf(request, catalog.workspace);
  /** The nodes to tell of; those that were forgotten as they last were. */
  const pending = new Map<string, Node | undefined>();
  const bell = new Doorbell();
  const stop = nodes.onChange(({ node, removed }) => {
    if (node.workspace !== workspace) return;
    // What is told last is put last.
    pending.delete(node.id);
    pending.set(node.id, removed ? node : undefined);
    bell.ring();
  });
  // Not in a finally: a generator that waits at a yield is not resumed by an abort.
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();

  for (const { id } of nodes.list(workspace)) pending.set(id, undefined);
  for (;;) {
    for (const [id, forgotten] of pending) {
      pending.delete(id);
      if (forgotten !== undefined) yield { node: forgotten, removed: true };
      else {
        const node = nodes.get(workspace, id);
        if (node !== undefined) yield { node };
      }
    }
    await bell.wait(signal, clock, WAIT_MS);
  }
}

function idOf(request: { readonly id: string }): string {
  const form = new RequestForm();
  if (request.id === "") form.refuse("id", "is missing: say which node");
  form.check();
  return request.id;
}

function found(node: Node | undefined, id: string): Node {
  if (node !== undefined) return create(NodeSchema, node);
  throw ConfigError.of("not_found", [
    {
      kind: "",
      name: "",
      field: "id",
      reason: `there is no node ${JSON.stringify(id)}`,
    },
  ]);
}
