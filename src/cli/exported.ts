import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { cursorsEqual } from "../model/cursor.ts";
import type { ControlPlaneClient } from "./client.ts";
import { Failure } from "./io.ts";

/** All that a workspace has, as of one revision. */
export interface Exported {
  readonly cursor: Cursor;
  readonly resources: readonly Resource[];
}

/** Reads a whole workspace. */
export async function exportAll({
  config,
  workspace,
  slowCall,
}: ControlPlaneClient): Promise<Exported> {
  let cursor: Cursor | undefined;
  const resources: Resource[] = [];
  for await (const part of config.export(
    { workspace, includeSecrets: true },
    slowCall,
  )) {
    cursor ??= part.cursor;
    if (!cursorsEqual(cursor, part.cursor))
      throw new Failure(
        "the control plane changed the revision in the middle of the export: try again",
      );
    resources.push(...part.resources);
  }
  if (cursor === undefined)
    throw new Failure("the control plane ended the export without a revision");
  return { cursor, resources };
}

/** Runs what writes a file, and names the file when it cannot be written. */
export async function writing(
  file: string,
  write: () => Promise<void>,
): Promise<void> {
  try {
    await write();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure(`cannot write ${file}: ${why}`, { cause: error });
  }
}
