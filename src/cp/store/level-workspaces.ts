import { getValue, type LevelDatabase } from "./level-database.ts";
import { LevelKeys, REMOVED } from "./level-keys.ts";

/** Keys that are given free in one step. */
const RECLAIMED_AT_ONCE = 2_000;

/** What a workspace may be called: also what tells its keys from those of the whole store. */
const NAME = /^[a-z0-9-]{1,63}$/;

/**
 * The names of all workspaces, ascending; also of one that has content and no head, which is damaged. It looks at one key
 * of each, not at all of them.
 */
export async function readWorkspaces(
  database: LevelDatabase,
): Promise<readonly string[]> {
  const removed = new Set(await readRemoved(database));
  const found: string[] = [];
  for (let from = ""; ;) {
    const [key] = await database.keys({ gte: from, limit: 1 }).all();
    if (key === undefined) return found;
    const name = key.split("/", 1)[0] ?? "";
    // "0" is the character after "/".
    from = key.includes("/") ? `${name}0` : `${key}\0`;
    if (
      NAME.test(name) &&
      !removed.has(name) &&
      (await hasContent(database, name))
    )
      found.push(name);
  }
}

async function hasContent(
  database: LevelDatabase,
  workspace: string,
): Promise<boolean> {
  const keys = new LevelKeys(workspace);
  if ((await getValue(database, keys.head)) !== undefined) return true;
  for (const sort of ["entry", "log"] as const) {
    const [one] = await database.keys({ ...keys.range(sort), limit: 1 }).all();
    if (one !== undefined) return true;
  }
  return false;
}

/** The names of workspaces that were removed and still take space. */
export async function readRemoved(
  database: LevelDatabase,
): Promise<readonly string[]> {
  const keys = await database
    .keys({ gt: REMOVED, lt: `${REMOVED.slice(0, -1)}0` })
    .all();
  return keys.map((key) => key.slice(REMOVED.length));
}

/** Makes a workspace one that is not there, durably and in one step, however much it has. */
export async function writeRemoval(
  database: LevelDatabase,
  workspace: string,
): Promise<void> {
  const keys = new LevelKeys(workspace);
  await database.batch(
    [
      { type: "put", key: keys.removed, value: Buffer.alloc(0) },
      { type: "del", key: keys.head },
    ],
    { sync: true },
  );
}

/**
 * Gives some of what a removed workspace took free.
 *
 * @param after Where the step before has ended.
 * @returns Where the next goes on; undefined when nothing is left.
 */
export async function reclaimSome(
  database: LevelDatabase,
  workspace: string,
  after: string,
): Promise<string | undefined> {
  const keys = await database
    .keys({
      gt: after === "" ? `${workspace}/` : after,
      lt: `${workspace}0`,
      limit: RECLAIMED_AT_ONCE,
    })
    .all();
  const last = keys.length < RECLAIMED_AT_ONCE;
  const gone = last ? [...keys, new LevelKeys(workspace).removed] : keys;
  // Not synced: what comes back after a crash is still marked.
  await database.batch(gone.map((key) => ({ type: "del", key })));
  return last ? undefined : keys.at(-1);
}

/** Gives all that a workspace of this name took free, if one was removed: another is about to take its place. */
export async function clearRemoved(
  database: LevelDatabase,
  workspace: string,
): Promise<void> {
  const mark = await getValue(database, new LevelKeys(workspace).removed);
  if (mark === undefined) return;
  for (let at: string | undefined = ""; at !== undefined;)
    at = await reclaimSome(database, workspace, at);
}
