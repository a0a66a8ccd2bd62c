import { open, rename, rm } from "node:fs/promises";
import path from "node:path";

/** Owner only: what is written may hold keys and passwords. */
const FILE_MODE = 0o600;

/**
 * Replaces a file so that after a crash at any moment it has its old content or the new one, whole. One writer a path
 * at a time.
 */
export async function writeFileDurably(
  file: string,
  content:
    Uint8Array | string | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  // A fixed name, so that crashes do not leave more and more of them.
  const temporary = `${file}.tmp`;
  try {
    const handle = await open(temporary, "w", FILE_MODE);
    try {
      // One that a crash left may have another mode.
      await handle.chmod(FILE_MODE);
      if (typeof content === "string" || content instanceof Uint8Array)
        await handle.writeFile(content);
      else for await (const part of content) await handle.writeFile(part);
      await handle.sync();
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
