import {
  GoodbyeReason,
  type NodeInfo,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Logger } from "../../runtime/logger.ts";
import { LIMITS } from "../../sync/limits.ts";
import type { NodeStream, Refusal } from "./connection-host.ts";

/** Before a second process with a node id that is taken tries again: by then the first is known to be dead or alive. */
const DUPLICATE_RETRY_MS = 10_000;

/**
 * Refuses a node that is not who it says it is, by its certificate, or that another live process is already.
 *
 * @param other The stream that has the node's id now.
 */
export function refuseIdentity(
  node: NodeInfo,
  { peer }: NodeStream,
  other: NodeStream | undefined,
  logger: Logger,
): Refusal | undefined {
  const bound = peer.certificate?.nodeId;
  if (bound !== undefined && bound !== node.id) {
    logger.error("node.wrong_identity", {
      node: node.id,
      certificate_node: bound,
      hostname: node.hostname,
      peer: peer.address,
    });
    return {
      ok: false,
      reason: GoodbyeReason.IDENTITY,
      message: `the certificate is of node "${bound}", and the node says that it is "${node.id}". Start it with --node-id ${bound}, or give it a certificate of its own`,
      retryAfterMs: LIMITS.hopelessRetryMs,
    };
  }
  const otherBoot = other?.session.hello?.node?.boot;
  if (other !== undefined && otherBoot !== node.boot) {
    const theirs = other.session.hello?.node?.hostname ?? "";
    logger.error("node.duplicate", {
      node: node.id,
      hostname: node.hostname,
      peer: peer.address,
      connected_hostname: theirs,
      connected_peer: other.peer.address,
    });
    return {
      ok: false,
      reason: GoodbyeReason.DUPLICATE,
      message: `node "${node.id}" is connected already, from ${theirs} (${other.peer.address}); this is ${node.hostname} (${peer.address}). Give one of them another --node-id, or its own --data-dir`,
      retryAfterMs: DUPLICATE_RETRY_MS,
    };
  }
  return undefined;
}
