import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import { stripInputOutput } from "../model/defaults.ts";
import { encodeResource } from "../model/encode.ts";
import { keyOf, kindOfResource } from "../model/kinds.ts";
import { idOf } from "../model/messages.ts";
import type { Slices } from "../model/slices.ts";
import type { Entry } from "../model/bucket.ts";
import { Snapshot } from "../model/snapshot.ts";
import { driveSlices } from "../runtime/slices.ts";
import type { Exported } from "./exported.ts";
import { Failure } from "./io.ts";

/**
 * The snapshot that a control plane exported, in the very bytes that it has itself: its root proves that. Only the same
 * build is sure to encode alike, so another root is no accident and there is nothing to be saved from it.
 */
export async function snapshotOf(
  workspace: string,
  { cursor, resources }: Exported,
): Promise<Snapshot> {
  const snapshot = await driveSlices(snapshotSlices(workspace, resources));
  if (snapshot.root !== cursor.root)
    throw new Failure(
      `the export has root ${snapshot.root} here and root ${cursor.root} at the control plane (revision ${cursor.revision}): this command encodes it differently. ${SAME_VERSION}`,
    );
  return snapshot;
}

const SAME_VERSION =
  "Nothing was written; use the holdfast command of the control plane's version.";

function* snapshotSlices(
  workspace: string,
  resources: readonly Resource[],
): Slices<Snapshot> {
  const puts: Entry[] = [];
  for (const resource of resources) {
    puts.push(entryOf(resource));
    yield ENTRY_WEIGHT;
  }
  const empty = Snapshot.empty(workspace);
  const snapshot = yield* empty.applySlices({ puts, deletes: [] });
  yield* snapshot.hashSlices();
  return snapshot;
}

/** Encoding one costs about as much as handling this many entries. */
const ENTRY_WEIGHT = 8;

function entryOf(resource: Resource): Entry {
  const kind = kindOfResource(resource);
  if (kind === undefined)
    throw new Failure(
      `the export has a resource of a kind that this command does not know. ${SAME_VERSION}`,
    );
  const key = keyOf(kind, idOf(resource));
  try {
    // Times are filled in for answers and are no part of the value.
    return { key, value: encodeResource(stripInputOutput(resource)) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Failure(
      `${key} cannot be encoded here: ${error.message}. ${SAME_VERSION}`,
      { cause: error },
    );
  }
}
