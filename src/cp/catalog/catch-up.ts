import { describeCursor } from "../../model/cursor.ts";
import { ConfigError } from "../../model/violation.ts";
import type { RevisionRecord } from "../store/store.ts";
import { applyChanges, type BatchContext } from "./batch.ts";
import type { Head, State } from "./state.ts";
import { Layer } from "./view.ts";

/** What a store has beyond a state. */
export interface Found {
  /** All changes, on top of the state. */
  readonly layer: Layer;
  /** The state after each step, of which the last may only be a new epoch. */
  readonly heads: readonly Head[];
  readonly records: readonly RevisionRecord[];
}

/**
 * Reads what a store has beyond a state: what a write that failed was to leave behind may be there all the same.
 *
 * @throws ConfigError when it does not follow from the state, or cannot be read.
 */
export async function readBeyond(
  { store, drive }: BatchContext,
  { head, view }: State,
): Promise<Found> {
  const { predecessors } = head;
  const { workspace } = head.snapshot;
  const layer = new Layer(view);
  const heads: Head[] = [];
  const records: RevisionRecord[] = [];
  let { cursor, snapshot } = head;
  // First of all: it opens a database that failed anew.
  const stored = await store.head(workspace);
  const from = cursor.revision + 1n;
  for await (const record of store.records(workspace, from, MAX_REVISION)) {
    snapshot = await drive(applyChanges(snapshot, record.changes));
    const root = await drive(snapshot.hashSlices());
    if (
      root !== record.cursor.root ||
      record.cursor.epoch !== cursor.epoch ||
      record.cursor.revision !== cursor.revision + 1n
    )
      throw new ConfigError(
        "unavailable",
        `the store went on from ${describeCursor(cursor)} to ${describeCursor(record.cursor)}, which does not follow (it would have root ${root}): restart the control plane, which reads and checks the store anew`,
      );
    for (const { key, after } of record.changes) layer.set(key, after);
    cursor = record.cursor;
    heads.push({ cursor, predecessors, snapshot });
    records.push(record);
  }
  if (stored.predecessors.includes(cursor.epoch))
    heads.push({ ...stored, snapshot });
  return { layer, heads, records };
}

/** No revision is greater. */
const MAX_REVISION = 0xffff_ffff_ffff_ffffn;
