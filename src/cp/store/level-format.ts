import { getValue, type LevelDatabase } from "./level-database.ts";
import { damaged, tooNew } from "./level-errors.ts";
import { FORMAT_KEY } from "./level-keys.ts";

/** The layout that a new database gets. */
const FIRST_FORMAT = 1;

/**
 * The layout of a database in which an epoch was replaced: the head names the epochs before its own, and records may be
 * of those. Only then does a database get it, so that the builds before it can still be gone back to until then. They
 * would take such a history for damaged, and so have to refuse it by its number.
 */
const ADOPTED_FORMAT = 2;

/** What a database is to be marked with when an epoch is replaced in it. */
export const ADOPTED_FORMAT_VALUE = Buffer.from(String(ADOPTED_FORMAT));

/** The layouts that this build reads. */
const READABLE: ReadonlySet<string> = new Set(
  [FIRST_FORMAT, ADOPTED_FORMAT].map(String),
);

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
    await database.put(FORMAT_KEY, Buffer.from(String(FIRST_FORMAT)), {
      sync: true,
    });
    return;
  }
  const found = value.toString("utf8");
  if (!READABLE.has(found))
    throw /^\d{1,9}$/.test(found) && Number(found) > ADOPTED_FORMAT
      ? tooNew(directory, found, ADOPTED_FORMAT)
      : damaged(directory, `its format is ${JSON.stringify(found)}`);
}
