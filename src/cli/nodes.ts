import type { Node } from "../gen/holdfast/admin/v1/node_service_pb.js";
import type { ControlPlaneClient } from "./client.ts";
import { Failure } from "./io.ts";
import { didYouMean } from "./nearest.ts";

/** Reads all nodes, by host name, however many answers that takes. */
export async function allNodes({
  nodes,
  workspace,
  call,
}: ControlPlaneClient): Promise<Node[]> {
  const all: Node[] = [];
  let pageToken = "";
  do {
    const page = await nodes.listNodes({ workspace, pageToken }, call);
    // Not push(...): there may be too many for the arguments of a call.
    for (const node of page.nodes) all.push(node);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return all;
}

/** Finds a node by its id, else by its host name, else by the beginning of its id. */
export async function nodeNamed(
  client: ControlPlaneClient,
  word: string,
): Promise<Node> {
  const all = await allNodes(client);
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
    throw new Failure(`"${word}" may be any of ${idsOf(found)}: give the id`);
  return only;
}

/** Ids named in a message, at most. */
const NAMED = 10;

/** The ids of nodes for a message, the first few of many. */
function idsOf(nodes: readonly Node[]): string {
  const ids = nodes.slice(0, NAMED).map(({ id }) => id);
  const more = nodes.length - ids.length;
  return ids.join(", ") + (more > 0 ? ` and ${more} more` : "");
}
