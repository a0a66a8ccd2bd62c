import type { LevelDatabase } from "./level-database.ts";
import type { LevelKeys } from "./level-keys.ts";
import { DamagedError } from "./level-load.ts";
import { recordTime } from "./record-codec.ts";
import type { Superfluous } from "./store.ts";

/** The database's keys of the oldest records that are to go, of those from `from` on and before the head. */
export async function superfluousRecords(
  database: LevelDatabase,
  keys: LevelKeys,
  { before, beforeMs, keepFrom, limit }: Superfluous,
  { from, head }: { readonly from: bigint; readonly head: bigint },
): Promise<readonly string[]> {
  const kept = keepFrom?.();
  const stays = kept !== undefined && kept < head ? kept : head;
  if (from >= stays) return [];
  const end = before < stays ? before : stays;
  const found =
    from >= end
      ? []
      : await database
          .keys({ gte: keys.log(from), lt: keys.log(end), limit })
          .all();
  if (beforeMs === undefined) return found;
  const old = [...found];
  const last = found.at(-1);
  // Read one at a time: a record may be as large as a whole configuration.
  const iterator = database.iterator({
    ...(last === undefined ? { gte: keys.log(from) } : { gt: last }),
    lt: keys.log(stays),
    highWaterMarkBytes: 1,
  });
  try {
    while (old.length < limit) {
      const next = await iterator.next();
      if (next === undefined) break;
      const [key, value] = next;
      if (timeOf(value) >= beforeMs) break;
      old.push(key);
    }
  } finally {
    await iterator.close();
  }
  return old;
}

/** Those of the records that may still go, now that it is their turn. */
export function stillSuperfluous(
  old: readonly string[],
  keys: LevelKeys,
  { keepFrom }: Superfluous,
): readonly string[] {
  const kept = keepFrom?.();
  if (kept === undefined) return old;
  const end = keys.log(kept);
  return old.filter((key) => key < end);
}

/** The revision of the oldest record from `from` on. */
export async function oldestRecord(
  database: LevelDatabase,
  keys: LevelKeys,
  from: bigint,
): Promise<bigint | undefined> {
  const { gt, lt } = keys.range("log");
  const [key] = await database
    .keys({ gte: keys.log(from), lt, limit: 1 })
    .all();
  return key === undefined ? undefined : BigInt(key.slice(gt.length));
}

function timeOf(value: Buffer): number {
  try {
    return recordTime(value);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new DamagedError(
      `a record in its history is unreadable: ${error.message}`,
      { cause: error },
    );
  }
}
