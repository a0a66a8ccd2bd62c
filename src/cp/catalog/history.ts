import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { ChangeInfo } from "./operation.ts";

/** One revision, for people. */
export interface RevisionInfo {
  readonly cursor: Cursor;
  readonly timeMs: number;
  readonly author: string;
  readonly message: string;
  /** The first 1000. */
  readonly changes: readonly ChangeInfo[];
  readonly changeCount: number;
}

/** What happened to one resource, with its values (encoded `Resource`s) before and after. */
export interface ChangeDetail {
  readonly change: ChangeInfo;
  readonly before?: Uint8Array;
  readonly after?: Uint8Array;
}
