import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  NodeSchema,
  type ListNodesRequest,
  type ListNodesResponseSchema,
  type Node,
  type NodeService,
  type WatchNodesRequest,
  type WatchNodesResponseSchema,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { ConfigError } from "../../model/violation.ts";
import { Doorbell } from "../../runtime/doorbell.ts";
import { decodePageToken, encodePageToken } from "../catalog/pages.ts";
import type { NodePlace } from "../distributor/nodes.ts";
import type { AdminContext, AdminDeps } from "./deps.ts";
import { depsFor, streamFor } from "./in-workspace.ts";
import { RequestForm } from "./request-form.ts";
import { Room } from "./room.ts";
import { noSuchNode, rolloutHandlers } from "./rollout.ts";
import { listUpstreamHealth } from "./upstream-health.ts";

/** Nothing is looked for without an event; this only bounds the wait. */
const WAIT_MS = 60_000;
/** Nodes in a page at most: each is made for it. */
const MAX_PAGE = 2_000;

/** The handlers of NodeService. */
export function nodeService(
  context: AdminContext,
): Required<ServiceImpl<typeof NodeService>> {
  const of = (request: { readonly workspace: string }) =>
    depsFor(context, request);
  return {
    listNodes: (request, call) => listNodes(of(request), request, call),
    getNode: (request) => {
      const { catalog, nodes } = of(request);
      const id = idOf(request);
      return { node: found(nodes.get(catalog.workspace, id), id) };
    },
    watchNodes: (request, call) =>
      streamFor(context, request, call, watchNodes),
    listUpstreamHealth: (request, call) =>
      listUpstreamHealth(of(request), request, call),
    retry: (request) => {
      const { catalog, nodes } = of(request);
      const id = idOf(request);
      return { node: found(nodes.retry(catalog.workspace, id), id) };
    },
    allow: (request) => {
      const { catalog, nodes } = of(request);
      const id = idOf(request);
      return { node: found(nodes.allow(catalog.workspace, id), id) };
    },
    ...rolloutHandlers(context),
    forget: async (request) => {
      const { catalog, nodes } = of(request);
      const id = idOf(request);
      const outcome = await nodes.forget(catalog.workspace, id);
      if (outcome === undefined) throw noSuchNode(id);
      if (outcome === "connected")
        throw ConfigError.of("failed_precondition", [
          {
            kind: "",
            name: "",
            field: "id",
            reason: `node ${JSON.stringify(id)} is connected, and would be back at once: stop it first`,
          },
        ]);
      return {};
    },
  };
}

/** A page of the nodes. A token names the last node of its page, which may be gone by the time of the next. */
function listNodes(
  { catalog, nodes }: AdminDeps,
  request: ListNodesRequest,
  call: HandlerContext,
): MessageInitShape<typeof ListNodesResponseSchema> {
  const { workspace } = catalog;
  const form = new RequestForm();
  const { pageSize, pageToken } = request;
  if (pageSize < 0)
    form.refuse("page_size", `must not be negative, got ${pageSize}`);
  form.check();
  const last = decodePageToken("nodes", pageToken);
  const limit = Math.min(pageSize === 0 ? MAX_PAGE : pageSize, MAX_PAGE);
  // One more, to know whether there is a next page.
  const rest = nodes.list(workspace, placeOf(last), limit + 1);
  const page = new Room(call).fit(NodeSchema, rest.slice(0, limit));
  const end = page.at(-1);
  const paused = nodes.pausedAt(workspace);
  const all = {
    nodes: page,
    ...(paused === undefined ? {} : { pausedRevision: paused }),
  };
  if (end === undefined || page.length === rest.length) return all;
  return {
    ...all,
    nextPageToken: encodePageToken(
      "nodes",
      JSON.stringify([end.hostname, end.id]),
    ),
  };
}

/** The place that a token names. One that is not ours is behind all others. */
function placeOf(token: string): NodePlace | undefined {
  if (token === "") return undefined;
  try {
    const [hostname, id] = JSON.parse(token) as unknown[];
    if (typeof hostname === "string" && typeof id === "string")
      return { hostname, id };
  } catch {
    // Said below.
  }
  return { hostname: "\u{10ffff}", id: "" };
}

/**
 * All nodes once, then each whenever it changes. What waits to be sent is one state a node, however slowly the client
 * reads.
 */
async function* watchNodes(
  { catalog, nodes, clock }: AdminDeps,
  _request: WatchNodesRequest,
  { signal }: HandlerContext,
): AsyncGenerator<MessageInitShape<typeof WatchNodesResponseSchema>> {
  const { workspace } = catalog;
  /** The nodes to tell of; those that were forgotten as they last were. */
  const pending = new Map<string, Node | undefined>();
  const bell = new Doorbell();
  const stop = nodes.onChange((event) => {
    if (event.workspace !== workspace) return;
    // What is told last is put last.
    pending.delete(event.id);
    pending.set(event.id, event.removed ? event.node : undefined);
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
  throw noSuchNode(id);
}
