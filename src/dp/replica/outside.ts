import { access, constants, readdir } from "node:fs/promises";
import path from "node:path";

/** Whether the disk, its rights or the want of memory are in the way, and not what is in the files. */
export function isOutside(error: unknown): boolean {
  return isShortOfMemory(error) || isOfDisk(error);
}

/** Whether memory was not to be had, in the words of the system, of its library, of Node or of V8. */
export function isShortOfMemory(error: unknown): boolean {
  return /cannot allocate memory|not enough memory|failed to allocate memory|allocation failed/i.test(
    messagesOf(error),
  );
}

function isOfDisk(error: unknown): boolean {
  return /permission denied|not permitted|read-only file system|no space left|quota exceeded|file too large|too many open files/i.test(
    messagesOf(error),
  );
}

/**
 * The first file of a directory that this process may not use although the directory is its own: left by another user,
 * such as by a run as root. The file itself is the trouble then, and not the disk.
 */
export async function unusableFile(
  directory: string,
): Promise<string | undefined> {
  const may = (file: string, mode: number): Promise<boolean> =>
    access(file, mode).then(
      () => true,
      () => false,
    );
  const { R_OK, W_OK, X_OK } = constants;
  if (!(await may(directory, R_OK | W_OK | X_OK))) return undefined;
  for (const name of await readdir(directory)) {
    const file = path.join(directory, name);
    if (!(await may(file, R_OK | W_OK))) return file;
  }
  return undefined;
}

/** The messages of an error and its causes. */
export function messagesOf(error: unknown): string {
  return error instanceof Error
    ? [
        error.message,
        ...(error.cause === undefined ? [] : [messagesOf(error.cause)]),
      ].join(": ")
    : String(error);
}
