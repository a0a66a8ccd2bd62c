import type { LevelAccess } from "./level-access.ts";
import type { LevelDatabase } from "./level-database.ts";
import { LevelKeys } from "./level-keys.ts";
import { DamagedError } from "./level-load.ts";
import { recordTime } from "./record-codec.ts";
import type { Superfluous } from "./store.ts";

/** Where the histories begin that are kept, and how what is superfluous of them is cut off. */
export class HistoryTails {
  readonly #access: LevelAccess;
  /** No record is older, by workspace: what was removed from a database takes time to look past. */
  readonly #floors = new Map<string, bigint>();

  constructor(access: LevelAccess) {
    this.#access = access;
  }

  /**
   * A workspace has a history of its own from now on. To be said then, not when the one of that name before was removed:
   * its records could be looked for until they were gone.
   */
  begin(workspace: string): void {
    this.#floors.delete(workspace);
  }

  /** The revision of the oldest record that is kept; undefined when there is none. */
  oldest(workspace: string): Promise<bigint | undefined> {
    return this.#access.read(async (database) => {
      const from = this.#floors.get(workspace) ?? 0n;
      const keys = new LevelKeys(workspace);
      const oldest = await oldestRecord(database, keys, from);
      if (oldest !== undefined) this.#floors.set(workspace, oldest);
      return oldest;
    });
  }

  /** Forgets the oldest records that are superfluous, of those before the head. Says how many. */
  async cut(
    workspace: string,
    superfluous: Superfluous,
    head: bigint,
  ): Promise<number> {
    const from = await this.oldest(workspace);
    if (from === undefined) return 0;
    const keys = new LevelKeys(workspace);
    // Read before its turn comes: only the removal makes others wait.
    const old = await this.#access.read((database) =>
      superfluousRecords(database, keys, superfluous, { from, head }),
    );
    if (old.length === 0) return 0;
    return this.#access.inTurn(async () => {
      const going = stillSuperfluous(old, keys, superfluous);
      if (going.length > 0)
        await this.#access.write((database) =>
          database.batch(going.map((key) => ({ type: "del", key }))),
        );
      return going.length;
    });
  }
}

/** The database's keys of the oldest records that are to go, of those from `from` on and before the head. */
async function superfluousRecords(
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
function stillSuperfluous(
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
