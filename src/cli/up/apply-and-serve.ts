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
  /** Why the data plane does not serve the revision yet; undefined when it does. */
  readonly missing: string | undefined;
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
    return { revision, missing: await whyNotServed(io, client, revision) };
  });
}

/** Resolves when a connected node serves the revision, or time is up. */
async function whyNotServed(
  io: Io,
  client: ControlPlaneClient,
  revision: bigint,
): Promise<string | undefined> {
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
        return undefined;
      reason = node.reason === "" ? "it is not in sync" : node.reason;
    }
  } catch (error) {
    if (!deadline.aborted || io.stop.aborted) throw error;
  }
  return reason;
}
