import type { Node } from "../gen/holdfast/admin/v1/node_service_pb.js";
import type { ControlPlaneClient } from "./client.ts";
import { Failure } from "./io.ts";
import { didYouMean } from "./nearest.ts";

/** All nodes of a workspace, by host name, and what it is paused at. */
interface Fleet {
  readonly nodes: Node[];
  readonly pausedRevision?: bigint;
}

/** Reads all nodes, however many answers that takes. */
export async function readFleet({
  nodes,
  workspace,
  call,
}: ControlPlaneClient): Promise<Fleet> {
  const all: Node[] = [];
  let pausedRevision: bigint | undefined;
  let pageToken = "";
  do {
    const page = await nodes.listNodes({ workspace, pageToken }, call);
    ({ pausedRevision } = page);
    // Not push(...): there may be too many for the arguments of a call.
    for (const node of page.nodes) all.push(node);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return {
    nodes: all,
    ...(pausedRevision === undefined ? {} : { pausedRevision }),
  };
}

/** Finds a node by its id, else by its host name, else by the beginning of its id. */
export async function nodeNamed(
  client: ControlPlaneClient,
  word: string,
): Promise<Node> {
  const { nodes: all } = await readFleet(client);
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
