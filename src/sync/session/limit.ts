import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Limit, Session } from "./state.ts";

/** Whether a cursor is of the epoch of what the node should serve, or of one that came after it. */
export function isRecent(
  { epoch }: Cursor,
  {
    head,
    limit,
  }: { readonly head: Cursor; readonly limit?: Limit | undefined },
): boolean {
  return epoch === head.epoch || limit?.successors.includes(epoch) === true;
}

/** The epoch that the history is at, whatever the node is to serve. */
export function presentEpoch({
  head,
  limit,
}: {
  readonly head: Cursor;
  readonly limit?: Limit | undefined;
}): string {
  return limit?.successors.at(-1) ?? head.epoch;
}

/** Whether a state comes after the one that the node is to go no further than. */
export function isBeyond(
  cursor: Cursor | undefined,
  { head, limit }: Session,
): boolean {
  if (cursor === undefined || limit === undefined) return false;
  return cursor.epoch === head.epoch
    ? cursor.revision > head.revision
    : limit.successors.includes(cursor.epoch);
}

/** Whether the node has gone further than it is to go: it stays where it is. */
export function isPast(session: Session): boolean {
  return isBeyond(session.acked, session);
}

/** Whether nothing is sent because of the limit: the node is past it, or its state cannot be sent any more. */
export function isStopped(session: Session): boolean {
  return session.limit?.reachable === false || isPast(session);
}

/** What the node is told to be what it should serve. One that is past its limit is where it stays. */
export function toldHead(session: Session): Cursor {
  return isPast(session) ? (session.acked ?? session.head) : session.head;
}
