import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Snapshot } from "../../model/snapshot.ts";
import { ConfigError } from "../../model/violation.ts";
import { inverse, NetChanges } from "./history.ts";
import { cursorAt, recordOf, type HistoryContext } from "./revisions.ts";
import type { Head } from "./state.ts";

/** A state of the history. */
export interface PastState {
  readonly cursor: Cursor;
  readonly snapshot: Snapshot;
}

/**
 * Rebuilds the state that a revision led to, by undoing what came after it, from a later state on. What comes out is
 * proved by the revision's root.
 *
 * @throws ConfigError `not_found` or `out_of_range` when the history does not have it, or no more.
 */
export async function stateAt(
  context: HistoryContext,
  head: Head,
  revision: bigint,
  from: PastState = head,
): Promise<PastState> {
  const cursor = await cursorAt(context, head, revision);
  if (cursor.root === from.snapshot.root)
    return { cursor, snapshot: from.snapshot };
  const net = new NetChanges();
  for (let at = from.cursor.revision; at > revision; at--)
    net.add((await recordOf(context, head, at)).changes.map(inverse));
  const puts: { readonly key: string; readonly value: Uint8Array }[] = [];
  const deletes: string[] = [];
  for (const { key, after } of net)
    if (after === undefined) deletes.push(key);
    else puts.push({ key, value: after });
  const snapshot = await context.drive(
    from.snapshot.applySlices({ puts, deletes }),
  );
  const root = await context.drive(snapshot.hashSlices());
  if (root !== cursor.root)
    throw new ConfigError(
      "failed_precondition",
      `undoing the history from revision ${from.cursor.revision} to ${revision} gives root ${root}, which is not that of the revision, ${cursor.root}: the store is damaged`,
    );
  return { cursor, snapshot };
}
