import { Level } from "level";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/**
 * Whether another process has a LevelDB database, found out without opening it: by opening nothing at all, somewhere
 * else, with a link to its lock. False too when that cannot be found out.
 */
export async function isLocked(directory: string): Promise<boolean> {
  // The second is in memory, where a disk that is full does not matter.
  for (const place of new Set([tmpdir(), "/dev/shm"])) {
    const beside = await mkdtemp(path.join(place, "holdfast-lock-")).catch(
      () => undefined,
    );
    if (beside === undefined) continue;
    try {
      return await isLockedBeside(beside, path.resolve(directory));
    } finally {
      await rm(beside, { recursive: true, force: true });
    }
  }
  return false;
}

async function isLockedBeside(
  beside: string,
  directory: string,
): Promise<boolean> {
  await symlink(path.join(directory, "LOCK"), path.join(beside, "LOCK"));
  const nothing = new Level(beside);
  try {
    await nothing.open({ createIfMissing: false });
    return false;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    return (
      cause instanceof Error && "code" in cause && cause.code === "LEVEL_LOCKED"
    );
  } finally {
    await nothing.close();
  }
}
