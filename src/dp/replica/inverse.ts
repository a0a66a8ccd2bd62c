import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { DeltaContentSchema } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import type { Entry } from "../../model/bucket.ts";
import type { Changes, Snapshot } from "../../model/snapshot.ts";
import { driveSlices } from "../../runtime/slices.ts";
import {
  inverseKey,
  META,
  sealJson,
  unsealJson,
  type Database,
} from "./format.ts";
import type { State } from "./last-good.ts";
import { cursorFromJson, cursorToJson } from "./trials.ts";

/** A part has about so many bytes, or one entry. */
const PART_BYTES = 256 * 1024;

/** What takes the writes of a batch. */
interface Writes {
  put(key: string, value: Uint8Array): unknown;
  del(key: string): unknown;
}

/** What is known of the inverse in a database. */
export interface InverseHead {
  /** The root of the state that it undoes. */
  readonly of: string;
  /** The state that was before; undefined when there was none. */
  readonly to: Cursor | undefined;
  readonly parts: number;
}

/**
 * Writes how `changes`, which made `after`, are undone. In the batch of the changes themselves: a state that turns out
 * to kill the process can be left with what is on the disk alone. The parts of the inverse before are overwritten.
 */
export function* writeInverse(
  batch: Writes,
  before: State | undefined,
  after: Cursor,
  changes: Changes,
  partsBefore: number,
): Slices<InverseHead> {
  let parts = 0;
  let puts: Entry[] = [];
  let deletes: string[] = [];
  let bytes = 0;
  const flush = (): number => {
    const handled = puts.length + deletes.length;
    if (handled === 0) return 0;
    const content = create(DeltaContentSchema, {
      puts: puts.map(({ key, value }) => ({ key, value })),
      deletes,
    });
    batch.put(inverseKey(parts++), toBinary(DeltaContentSchema, content));
    puts = [];
    deletes = [];
    bytes = 0;
    return handled;
  };
  const isFull = (): boolean =>
    bytes >= PART_BYTES || puts.length + deletes.length >= SLICE_ENTRIES;
  const undo = (key: string): void => {
    const value = before?.snapshot.get(key);
    if (value === undefined) deletes.push(key);
    else puts.push({ key, value });
    bytes += key.length + (value?.length ?? 0);
  };
  // Nothing was before: nothing to go back to.
  if (before !== undefined) {
    for (const { key } of changes.puts) {
      undo(key);
      if (isFull()) yield flush();
    }
    for (const key of changes.deletes) {
      undo(key);
      if (isFull()) yield flush();
    }
    flush();
  }
  for (let part = parts; part < partsBefore; part++)
    batch.del(inverseKey(part));
  const head = { of: after.root, to: before?.cursor, parts };
  batch.put(
    META.inverse,
    sealJson({
      of: head.of,
      ...(head.to === undefined ? {} : { to: cursorToJson(head.to) }),
      parts,
    }),
  );
  return head;
}

/** Reads what undoes the last change, but for its parts. Undefined when there is none that can be read. */
export function readInverseHead(
  sealed: Uint8Array | undefined,
): InverseHead | undefined {
  const value = unsealJson(sealed);
  if (typeof value !== "object" || value === null) return undefined;
  const { of, to, parts } = value as Readonly<Record<string, unknown>>;
  if (typeof of !== "string" || typeof parts !== "number") return undefined;
  return { of, to: cursorFromJson(to), parts };
}

/** The state before the last change, proved by its root; undefined when it is not to be had. */
export async function stateBefore(
  db: Database,
  head: InverseHead | undefined,
  state: State,
): Promise<State | undefined> {
  // An older build changes the state and leaves the inverse alone.
  if (head?.to === undefined || head.of !== state.cursor.root) return undefined;
  let snapshot: Snapshot = state.snapshot;
  for (let part = 0; part < head.parts; part++) {
    const [bytes] = await db.getMany([inverseKey(part)]);
    if (bytes === undefined) return undefined;
    const { puts, deletes } = fromBinary(DeltaContentSchema, bytes);
    snapshot = await driveSlices(snapshot.applySlices({ puts, deletes }));
  }
  const root = await driveSlices(snapshot.hashSlices());
  return root === head.to.root ? { cursor: head.to, snapshot } : undefined;
}
