import { getValues, type LevelDatabase } from "./level-database.ts";
import { decodeTimes } from "./level-head.ts";
import type { LevelKeys } from "./level-keys.ts";
import { readRecord } from "./level-load.ts";
import type { EntryTimes, NodeRecord, RevisionRecord } from "./store.ts";

/** Reads records, newest first. */
export async function readHistory(
  database: LevelDatabase,
  keys: LevelKeys,
  options: { readonly before?: bigint; readonly limit: number },
): Promise<readonly RevisionRecord[]> {
  const { gt, lt } = keys.range("log");
  const values = await database
    .values({
      gt,
      lt: options.before === undefined ? lt : keys.log(options.before),
      reverse: true,
      limit: options.limit,
    })
    .all();
  const records: RevisionRecord[] = [];
  for (const value of values) records.push(await readRecord(value));
  return records;
}

/** Reads the times of entries, in the order asked for. */
export async function readTimes(
  database: LevelDatabase,
  keys: LevelKeys,
  entries: readonly string[],
): Promise<readonly (EntryTimes | undefined)[]> {
  const values = await getValues(
    database,
    entries.map((key) => keys.times(key)),
  );
  return values.map(decodeTimes);
}

/** Reads all nodes, by ascending id. */
export async function readNodes(
  database: LevelDatabase,
  keys: LevelKeys,
): Promise<readonly NodeRecord[]> {
  const { gt, lt } = keys.range("node");
  const rows = await database.iterator({ gt, lt }).all();
  return rows.map(([key, data]) => ({ id: key.slice(gt.length), data }));
}

/** Replaces some nodes and forgets others, in one step. */
export async function writeNodes(
  database: LevelDatabase,
  keys: LevelKeys,
  put: readonly NodeRecord[],
  remove: readonly string[],
): Promise<void> {
  await database.batch([
    ...put.map(({ id, data }) => ({
      type: "put" as const,
      key: keys.node(id),
      value: Buffer.from(data),
    })),
    ...remove.map((id) => ({ type: "del" as const, key: keys.node(id) })),
  ]);
}
