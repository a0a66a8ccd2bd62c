import { describeCursor } from "../../model/cursor.ts";
import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import { ConfigError } from "../../model/violation.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { getValues, type LevelDatabase } from "./level-database.ts";
import { decodeTimes, encodeHead, encodeTimes } from "./level-head.ts";
import { encodeAnswer } from "./level-idempotency.ts";
import type { LevelKeys } from "./level-keys.ts";
import type { KnownTimes } from "./known-times.ts";
import { encodeRecord } from "./record-codec.ts";
import {
  type Commit,
  type EntryTimes,
  type RevisionRecord,
  type StoredHead,
} from "./store.ts";

/** One put, or a removal when there is no value. */
interface Write {
  readonly key: string;
  readonly value?: Uint8Array;
}

/** What goes with commits. */
interface CommitOptions {
  /** Keys that are removed in the same write. Default: none. */
  readonly superfluous?: readonly string[];
  readonly known: KnownTimes;
}

/** What is found out about times while a write is put together. */
interface Written {
  /** When entries were created. */
  readonly created: Map<string, number>;
  /** What is written, by its key in the database. */
  readonly times: Map<string, EntryTimes | undefined>;
}

/** Makes commits, and the head they lead to, durable in one synced batch, with the removal of what they make superfluous. */
export async function writeCommits(
  database: LevelDatabase,
  keys: LevelKeys,
  commits: readonly Commit[],
  next: StoredHead,
  { superfluous = [], known }: CommitOptions,
): Promise<void> {
  const created = await createdTimes(database, keys, commits, known);
  const times = new Map<string, EntryTimes | undefined>();
  const batch = database.batch();
  try {
    // First what goes, then what comes: an idempotency key that was used again is both.
    for (const key of superfluous) batch.del(key);
    await driveSlices(
      fill(
        ({ key, value }) => {
          if (value === undefined) batch.del(key);
          else
            batch.put(
              key,
              Buffer.from(value.buffer, value.byteOffset, value.length),
            );
        },
        keys,
        commits,
        { next, created, times },
      ),
    );
    await batch.write({ sync: true });
    known.took(times);
  } catch (error) {
    await batch.close();
    throw error;
  }
}

function* fill(
  write: (write: Write) => void,
  keys: LevelKeys,
  commits: readonly Commit[],
  { next, ...known }: Written & { readonly next: StoredHead },
): Slices<void> {
  let moved = false;
  for (const { record, idempotency } of commits) {
    if (record !== undefined) {
      moved = true;
      yield* fillRecord(write, keys, record, known);
    }
    if (idempotency !== undefined) {
      const { key, timeMs } = idempotency;
      write({ key: keys.idempotent(key), value: encodeAnswer(idempotency) });
      write({
        key: keys.idempotentAt(timeMs, key),
        value: new Uint8Array(),
      });
    }
  }
  if (moved) write({ key: keys.head, value: encodeHead(next) });
}

function* fillRecord(
  write: (write: Write) => void,
  keys: LevelKeys,
  record: RevisionRecord,
  { created, times: written }: Written,
): Slices<void> {
  const { revision } = record.cursor;
  write({ key: keys.log(revision), value: yield* encodeRecord(record) });
  let handled = 0;
  for (const { key, before, after } of record.changes) {
    if (after === undefined) {
      created.delete(key);
      write({ key: keys.entry(key) });
      write({ key: keys.times(key) });
      written.set(keys.times(key), undefined);
    } else {
      if (before === undefined) created.set(key, record.timeMs);
      const times: EntryTimes = {
        createdMs: created.get(key) ?? record.timeMs,
        updatedMs: record.timeMs,
      };
      write({ key: keys.entry(key), value: after });
      write({ key: keys.times(key), value: encodeTimes(times) });
      written.set(keys.times(key), times);
    }
    if (++handled >= SLICE_ENTRIES) {
      yield handled;
      handled = 0;
    }
  }
}

/** When the entries that are to be updated were created. */
async function createdTimes(
  database: LevelDatabase,
  keys: LevelKeys,
  commits: readonly Commit[],
  known: KnownTimes,
): Promise<Map<string, number>> {
  const updated = new Set<string>();
  const created = new Map<string, number>();
  for (const { record } of commits)
    for (const { key, before, after } of record?.changes ?? []) {
      if (before === undefined || after === undefined) continue;
      const times = known.get(keys.times(key));
      if (times === undefined) updated.add(key);
      else created.set(key, times.createdMs);
    }
  const all = [...updated];
  for (let at = 0; at < all.length; at += SLICE_ENTRIES) {
    const some = all.slice(at, at + SLICE_ENTRIES);
    const values = await getValues(
      database,
      some.map((key) => keys.times(key)),
    );
    for (const [i, key] of some.entries()) {
      const times = decodeTimes(values[i]);
      if (times !== undefined) created.set(key, times.createdMs);
    }
  }
  return created;
}

/** The head after commits. Refuses those that were not made on top of this one. */
export function nextHead(
  { cursor: head, predecessors }: StoredHead,
  commits: readonly Commit[],
): StoredHead {
  let next = head;
  for (const { record } of commits) {
    if (record === undefined) continue;
    const { cursor } = record;
    if (cursor.epoch !== next.epoch || cursor.revision !== next.revision + 1n)
      throw new ConfigError(
        "aborted",
        `the store is at ${describeCursor(next)}, which ${describeCursor(cursor)} cannot follow: read the store again`,
      );
    next = cursor;
  }
  return { cursor: next, predecessors };
}
