import { getValue, type LevelDatabase } from "./level-database.ts";
import { damaged, tooNew } from "./level-errors.ts";
import { FORMAT_KEY } from "./level-keys.ts";

/** The layout of the database that this build writes, and the newest that it reads. */
const FORMAT = 1;

/**
 * Sees to it that the database has a layout that this build can read, and gives a new one its number.
 *
 * @throws ConfigError when it has another one, or is no store's.
 */
export async function checkFormat(
  database: LevelDatabase,
  directory: string,
): Promise<void> {
  const value = await getValue(database, FORMAT_KEY);
  if (value === undefined) {
    const [first] = await database.keys({ limit: 1 }).all();
    if (first !== undefined)
      throw damaged(directory, `it has "${first}" and no "${FORMAT_KEY}"`);
    await database.put(FORMAT_KEY, Buffer.from(String(FORMAT)), { sync: true });
    return;
  }
  const found = value.toString("utf8");
  if (found !== String(FORMAT))
    throw /^\d{1,9}$/.test(found) && Number(found) > FORMAT
      ? tooNew(directory, found, FORMAT)
      : damaged(directory, `its format is ${JSON.stringify(found)}`);
}
