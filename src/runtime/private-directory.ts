import { chmod, mkdir, readdir } from "node:fs/promises";
import path from "node:path";
import { umask } from "node:process";

/** What others may not do with new files: anything. */
const OWNER_ONLY = 0o077;

/**
 * Makes a directory that only its owner can look into, with all files in it, those of now and those to come: LevelDB
 * makes its files itself, at any time, with whatever mode the process allows.
 */
export async function openPrivateDirectory(directory: string): Promise<void> {
  umask(OWNER_ONLY);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  // An earlier run, or a backup that was put here, may have been less careful.
  for (const file of await readdir(directory, { withFileTypes: true }))
    if (file.isFile()) await chmod(path.join(directory, file.name), 0o600);
}
