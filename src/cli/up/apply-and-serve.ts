import { create } from "@bufbuild/protobuf";
import {
  ApplyRequestSchema,
  type File,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { writeWarnings } from "../changes.ts";
import { withClient, type ControlPlaneClient } from "../client.ts";
import { sendApply } from "../send-apply.ts";
import type { Io } from "../io.ts";

const SERVE_DEADLINE_MS = 30_000;

/** What came of applying files. */
export interface Applied {
  readonly revision: bigint;
  /** Whether the data plane serves the revision. */
  readonly served: boolean;
  /** Why not, or what it leaves out; empty when there is nothing to say. */
  readonly reason: string;
}

/** Applies files to the control plane at `admin`, deleting nothing, and waits a while until a data plane serves them. */
export async function applyAndServe(
  io: Io,
  admin: string,
  files: readonly File[],
): Promise<Applied> {
  const flags = { admin: `http://${admin}`, workspace: "default" };
  return withClient(io, flags, async (client) => {
    const request = create(ApplyRequestSchema, {
      files: [...files],
      author: "holdfast up",
    });
    const answer = await sendApply(client, request);
    writeWarnings(io.stderr, answer.warnings);
    const { revision } = answer;
    return { revision, ...(await untilServed(io, client, revision)) };
  });
}

/** Resolves when a connected node serves the revision or refuses it, or time is up. */
async function untilServed(
  io: Io,
  client: ControlPlaneClient,
  revision: bigint,
): Promise<Omit<Applied, "revision">> {
  const deadline = AbortSignal.timeout(SERVE_DEADLINE_MS);
  let reason = "it has not connected";
  try {
    const events = client.nodes.watchNodes(
      { workspace: client.workspace },
      { signal: AbortSignal.any([io.stop, deadline]) },
    );
    for await (const { node } of events) {
      if (node?.connected !== true) continue;
      if (node.inSync && (node.serving?.revision ?? 0n) >= revision)
        return { served: true, reason: node.reason };
      reason = node.reason === "" ? "it is not in sync" : node.reason;
      // It refuses: waiting longer would not help.
      if ((node.lastNack?.cursor?.revision ?? -1n) >= revision) break;
    }
  } catch (error) {
    if (!deadline.aborted || io.stop.aborted) throw error;
  }
  return { served: false, reason };
}
