import { BUCKET_COUNT } from "../../model/bucket.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { State } from "../replica/last-good.ts";
import { cursorToJson } from "../replica/trials.ts";
import type { Link } from "./link.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** Bytes in one frame, at most: what of a state is on its way at any moment. */
const FRAME_BYTES = 256 << 10;

/**
 * Sends a state as the buckets that differ from what the worker has, no faster than it takes them.
 *
 * @param onSent Hears that it takes them.
 * @param isWanted Whether it still has to get there.
 */
export async function sendState(
  link: Link<FromWorker, ToWorker>,
  id: number,
  { cursor, snapshot }: State,
  has: Snapshot | undefined,
  onSent: () => void,
  isWanted: () => boolean,
): Promise<void> {
  const removed: number[] = [];
  const changed: [index: number, size: number][] = [];
  for (let index = 0; index < BUCKET_COUNT; index++) {
    const bucket = snapshot.bucket(index);
    const before = has?.bucket(index);
    if (bucket === before) continue;
    if (bucket === undefined) removed.push(index);
    else if (before === undefined || !bucket.hash.equals(before.hash))
      changed.push([index, bucket.bytes.length]);
  }
  await link.send({
    type: "state",
    id,
    cursor: cursorToJson(cursor),
    workspace: snapshot.workspace,
    removed,
    changed,
  });
  let frame: Buffer[] = [];
  let length = 0;
  const flush = async (): Promise<void> => {
    const bytes = frame.length === 1 ? frame[0] : Buffer.concat(frame);
    frame = [];
    length = 0;
    await link.send({ type: "bytes", id }, bytes);
    onSent();
  };
  for (const [index] of changed) {
    const bytes = snapshot.bucket(index)?.bytes ?? Buffer.alloc(0);
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + FRAME_BYTES - length);
      frame.push(part);
      length += part.length;
      at += part.length;
      if (length < FRAME_BYTES) continue;
      await flush();
      if (!isWanted()) return;
    }
  }
  if (length > 0) await flush();
}
