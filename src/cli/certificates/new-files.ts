import { mkdir, open, rm, stat } from "node:fs/promises";
import path from "node:path";
import { Failure } from "../io.ts";

/** A file that is not there yet. */
export interface NewFile {
  readonly file: string;
  readonly content: string;
  /** Only its owner may read it. */
  readonly secret: boolean;
}

/**
 * Writes files that must not be there yet: all or none. What others have is never replaced. Directories that are made
 * for them are their owner's only.
 */
export async function writeNewFiles(files: readonly NewFile[]): Promise<void> {
  // Before anything is written, so that a name that is taken leaves nothing behind.
  for (const { file } of files)
    if (await exists(file)) throw new Failure(taken(file));
  const written: string[] = [];
  try {
    for (const { file, content, secret } of files) {
      await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
      const handle = await open(file, "wx", secret ? 0o600 : 0o644);
      written.push(file);
      try {
        await handle.writeFile(content);
        await handle.sync();
      } finally {
        await handle.close();
      }
    }
  } catch (error) {
    for (const file of written) await rm(file, { force: true });
    if (error instanceof Error && "code" in error && error.code === "EEXIST")
      throw new Failure(
        taken(files[written.length]?.file ?? "one of the files"),
      );
    throw new Failure(error instanceof Error ? error.message : String(error));
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch {
    return false;
  }
}

function taken(file: string): string {
  return `${file} is there already, and nothing is overwritten: move it away, or write to another directory`;
}
