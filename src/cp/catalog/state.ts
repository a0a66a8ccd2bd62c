import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Snapshot } from "../../model/snapshot.ts";
import type { SortedKeys } from "./sorted-keys.ts";
import type { View } from "./view.ts";

/** The durable state of a workspace at one revision. */
export interface Head {
  readonly cursor: Cursor;
  /** The epochs that the cursor's has replaced, oldest first; the newest 64 of them. */
  readonly predecessors: readonly string[];
  readonly snapshot: Snapshot;
}

/** A head with what finds things in it. The parts belong together; `view` answers for the newest state only. */
export interface State {
  readonly head: Head;
  readonly keys: SortedKeys;
  readonly view: View;
}
