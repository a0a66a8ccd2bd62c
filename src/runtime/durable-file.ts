import { randomBytes } from "node:crypto";
import { lstat, open, readdir, rename, rm } from "node:fs/promises";
import path from "node:path";

/** Owner only: what is written may hold keys and passwords. */
const FILE_MODE = 0o600;

/** Nothing was written for so long: whoever wrote it is gone. */
const LEFT_MS = 10 * 60_000;

export interface DurableFileOptions {
  /** Who may read it. Default: its owner. */
  readonly mode?: number;
}

/**
 * Replaces a file so that after a crash at any moment it has its old content or the new one, whole. Of several writers
 * at once the last wins.
 */
export async function writeFileDurably(
  file: string,
  content:
    Uint8Array | string | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { mode = FILE_MODE }: DurableFileOptions = {},
): Promise<void> {
  // A name that nobody else has, or has put a link at to have another file written.
  const temporary = `${file}.${randomBytes(8).toString("hex")}.tmp`;
  const handle = await open(temporary, "wx", FILE_MODE);
  try {
    try {
      if (typeof content === "string" || content instanceof Uint8Array)
        await handle.writeFile(content);
      else for await (const part of content) await handle.writeFile(part);
      // The process may allow less.
      await handle.chmod(mode);
      await handle.sync();
      await removeLeft(file, (await handle.stat()).mtimeMs);
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(path.dirname(file));
}

/** Makes the directory's entries durable: a rename survives a power loss only after this. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Whether a file's name is one that {@link writeFileDurably} makes on its way to `name`. */
export function isTemporaryOf(name: string, found: string): boolean {
  return (
    found.startsWith(`${name}.`) &&
    /^[0-9a-f]{16}\.tmp$/.test(found.slice(name.length + 1))
  );
}

/** Removes what crashes left, so that there is not more and more of it. By the disk's clock. As far as that is possible. */
async function removeLeft(file: string, nowMs: number): Promise<void> {
  const directory = path.dirname(file);
  const name = path.basename(file);
  for (const found of await readdir(directory).catch(() => [])) {
    if (!isTemporaryOf(name, found)) continue;
    const left = path.join(directory, found);
    const age = await lstat(left).then(
      ({ mtimeMs }) => nowMs - mtimeMs,
      () => 0,
    );
    if (age > LEFT_MS) await rm(left, { force: true }).catch(() => undefined);
  }
}
