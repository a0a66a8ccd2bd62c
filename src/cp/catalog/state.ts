import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Snapshot } from "../../model/snapshot.ts";

/** The durable state of a workspace at one revision. */
export interface Head {
  readonly cursor: Cursor;
  readonly snapshot: Snapshot;
}
