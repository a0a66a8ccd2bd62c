import { Level } from "level";
import { findTableDamage } from "../../runtime/leveldb-check/check.ts";
import { damaged } from "./level-errors.ts";

/** Files kept open, and mapped into memory, at a time: of 2 MiB each. LevelDB takes ten of these for others, and has 64 at least. */
const OPEN_FILES = 74;

/** The database of a store: text keys, bytes as values. */
export type LevelDatabase = Level<string, Buffer>;

/** Opens the database in a directory, which is created when it is not there. */
export async function openDatabase(directory: string): Promise<LevelDatabase> {
  const database = new Level<string, Buffer>(directory, {
    keyEncoding: "utf8",
    valueEncoding: "buffer",
    maxOpenFiles: OPEN_FILES,
  });
  await database.open();
  return database;
}

/**
 * Opens the database in a directory after a look at all of its tables.
 *
 * @throws ConfigError when one of them is damaged: LevelDB would end the process.
 */
export async function openProvenDatabase(
  directory: string,
): Promise<LevelDatabase> {
  const damage = await findTableDamage(directory);
  if (damage !== undefined) throw damaged(directory, damage);
  return openDatabase(directory);
}

/** The value of a key. The declarations of `level` leave out that it may be missing. */
export async function getValue(
  database: LevelDatabase,
  key: string,
): Promise<Buffer | undefined> {
  return database.get(key);
}

/** The values of keys, in their order. */
export async function getValues(
  database: LevelDatabase,
  keys: string[],
): Promise<(Buffer | undefined)[]> {
  return database.getMany(keys);
}
