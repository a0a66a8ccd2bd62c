import { cursorOf, describeCursor } from "../../model/cursor.ts";
import { ConfigError } from "../../model/violation.ts";
import type { LevelDatabase } from "./level-database.ts";
import { ADOPTED_FORMAT_VALUE } from "./level-format.ts";
import { encodeHead } from "./level-head.ts";
import { FORMAT_KEY, type LevelKeys } from "./level-keys.ts";
import {
  PREDECESSORS,
  type Commit,
  type FirstRevision,
  type StoredHead,
} from "./store.ts";

/** The head of a history that nothing was committed to yet. */
export function firstHead(epoch: string, emptyRoot: string): StoredHead {
  return { cursor: cursorOf(epoch, 0n, emptyRoot), predecessors: [] };
}

/** What makes the first revision of a history; nothing when it has none. */
export function firstCommits(
  { cursor }: StoredHead,
  first: FirstRevision | undefined,
): readonly Commit[] {
  if (first === undefined) return [];
  const { root, ...record } = first;
  return [{ record: { ...record, cursor: cursorOf(cursor.epoch, 1n, root) } }];
}

/**
 * The same state under an epoch that replaces the present one.
 *
 * @throws ConfigError when the present one is not `from`.
 */
export function adoptedHead(
  { cursor, predecessors }: StoredHead,
  from: string,
  epoch: string,
): StoredHead {
  if (cursor.epoch !== from)
    throw new ConfigError(
      "aborted",
      `the store is at ${describeCursor(cursor)}, so epoch ${from} cannot be replaced: read the store again`,
    );
  return {
    cursor: cursorOf(epoch, cursor.revision, cursor.root),
    predecessors: [...predecessors, from].slice(-PREDECESSORS),
  };
}

/** Makes a head with a new epoch durable, with the number that keeps builds away that know nothing of such. */
export async function writeAdoption(
  database: LevelDatabase,
  keys: LevelKeys,
  next: StoredHead,
): Promise<void> {
  await database.batch(
    [
      { type: "put", key: keys.head, value: encodeHead(next) },
      { type: "put", key: FORMAT_KEY, value: ADOPTED_FORMAT_VALUE },
    ],
    { sync: true },
  );
}
