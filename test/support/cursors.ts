import { createHash } from "node:crypto";
import type { Cursor } from "../../src/gen/holdfast/config/v1/cursor_pb.js";
import { cursorOf } from "../../src/model/cursor.ts";

/** The root of a made-up content: equal names, equal roots. */
function rootOf(content: string): string {
  return createHash("sha256").update(content).digest("hex");
}

/** A cursor of a made-up content. */
export function cursor(
  revision: number,
  content = `content ${revision}`,
  epoch = "epoch",
): Cursor {
  return cursorOf(epoch, BigInt(revision), rootOf(content));
}
