import type {
  LoadedWorkspace,
  RevisionRecord,
  StoredChange,
} from "../../src/cp/store/store.ts";
import { cursorOf } from "../../src/model/cursor.ts";
import { runSlices } from "../../src/model/slices.ts";

/** The commit of changes on top of a state, and the state they lead to. */
export function commitOf(
  { cursor, snapshot, predecessors }: LoadedWorkspace,
  changes: readonly StoredChange[],
  about: Partial<Pick<RevisionRecord, "timeMs" | "author" | "message">> = {},
): {
  readonly commit: { readonly record: RevisionRecord };
  readonly next: LoadedWorkspace;
} {
  const next = runSlices(
    snapshot.applySlices({
      puts: changes.flatMap(({ key, after }) =>
        after === undefined ? [] : [{ key, value: after }],
      ),
      deletes: changes.flatMap(({ key, after }) =>
        after === undefined ? [key] : [],
      ),
    }),
  );
  const moved = cursorOf(cursor.epoch, cursor.revision + 1n, next.root);
  const record = {
    timeMs: 1000,
    author: "",
    message: "",
    ...about,
    cursor: moved,
    changes,
  };
  return {
    commit: { record },
    next: { cursor: moved, snapshot: next, predecessors },
  };
}
