import { create } from "@bufbuild/protobuf";
import {
  CursorSchema,
  type Cursor,
} from "../gen/holdfast/config/v1/cursor_pb.js";

/** Whether both name the same state: all three parts are equal. Two absent cursors are equal. */
export function cursorsEqual(
  a: Cursor | undefined,
  b: Cursor | undefined,
): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.epoch === b.epoch && a.revision === b.revision && a.root === b.root;
}

/** A cursor of these parts. */
export function cursorOf(
  epoch: string,
  revision: bigint,
  root: string,
): Cursor {
  return create(CursorSchema, { epoch, revision, root });
}

/** For people and logs: `12 (9279dac1, epoch 4f…)`. */
export function describeCursor(cursor: Cursor | undefined): string {
  return cursor === undefined
    ? "nothing"
    : `revision ${cursor.revision} (root ${cursor.root.slice(0, 12)}, epoch ${cursor.epoch})`;
}
