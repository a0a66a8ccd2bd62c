import { chmod, mkdir, readdir } from "node:fs/promises";
import path from "node:path";
import { umask } from "node:process";

/** What others may not do with new files: anything. */
const OWNER_ONLY = 0o077;

/** The names of what LevelDB makes in its directory. */
const DATABASE_FILE =
  /^(?:CURRENT|LOCK|LOG(?:\.old)?|MANIFEST-\d+|\d+\.(?:log|ldb|sst|dbtmp)|lost)$/;

/** The file system's own, in the root of a volume. */
const MOUNTED = "lost+found";

/** Whether it is LevelDB that has files of such a name. */
export function isDatabaseFile(name: string): boolean {
  return DATABASE_FILE.test(name);
}

/**
 * Makes a directory that only its owner can look into, with all of our files in it, those of now and those to come:
 * LevelDB makes its files itself, at any time, with whatever mode the process allows. What has other names is somebody
 * else's, and so is a directory that was there with such: their modes stay as they are.
 */
export async function openPrivateDirectory(
  directory: string,
  isOurs: (name: string) => boolean,
): Promise<void> {
  umask(OWNER_ONLY);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const found = await readdir(directory, { withFileTypes: true });
  if (found.every(({ name }) => isOurs(name) || name === MOUNTED))
    await chmod(directory, 0o700);
  // An earlier run, or a backup that was put here, may have been less careful.
  for (const file of found)
    if (file.isFile() && isOurs(file.name))
      await chmod(path.join(directory, file.name), 0o600);
}

/** What is in a directory and neither ours nor the file system's; nothing when there is no directory. */
export async function strangersIn(
  directory: string,
  isOurs: (name: string) => boolean,
): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).filter(
      (name) => !isOurs(name) && name !== MOUNTED,
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      return [];
    throw error;
  }
}
