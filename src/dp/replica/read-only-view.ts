import { Level } from "level";
import { mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { findTableDamage } from "../../runtime/leveldb-check/check.ts";
import type { Database } from "./format.ts";

/** A database that is read where nothing can be written. Closing it leaves nothing behind. */
export interface ReadOnlyView extends AsyncDisposable {
  readonly db: Database;
}

/**
 * Opens a database whose directory cannot be written. LevelDB cannot: it writes a manifest, and what its log has as a
 * table, whenever it opens. So it opens a directory of links to the files, in a place for temporary files, and writes
 * beside them: a few megabytes, whatever the size of the database. The files themselves are never written to.
 */
export async function openReadOnlyView(
  directory: string,
): Promise<ReadOnlyView> {
  const damage = await findTableDamage(directory);
  if (damage !== undefined) throw new Error(damage);
  let failure: unknown;
  // The second is in memory, where a disk that is full does not matter.
  for (const place of new Set([tmpdir(), "/dev/shm"]))
    try {
      return await openIn(place, directory);
    } catch (error) {
      failure = error;
    }
  throw failure;
}

async function openIn(place: string, directory: string): Promise<ReadOnlyView> {
  const view = await mkdtemp(path.join(place, "holdfast-replica-"));
  const drop = (): Promise<void> => rm(view, { recursive: true, force: true });
  try {
    const own = new Set(["LOCK", "LOG", "LOG.old"]);
    const source = path.resolve(directory);
    for (const name of await readdir(source))
      if (!own.has(name))
        await symlink(path.join(source, name), path.join(view, name));
    const db: Database = new Level(view, { valueEncoding: "view" });
    await db.open({ createIfMissing: false });
    return {
      db,
      async [Symbol.asyncDispose]() {
        await db.close();
        await drop();
      },
    };
  } catch (error) {
    await drop();
    throw error;
  }
}
