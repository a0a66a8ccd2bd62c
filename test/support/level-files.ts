import {
  copyFile,
  mkdir,
  open,
  readdir,
  stat,
  truncate,
} from "node:fs/promises";
import path from "node:path";
import type { SeededRandom } from "./seeded-random.ts";

/**
 * Copies the files of a folder, a LevelDB database for one, as a careless backup would: one file after the other, in any order, while it is written to.
 * Files that are gone meanwhile are left out.
 */
export async function copyFiles(
  from: string,
  to: string,
  random: SeededRandom,
): Promise<void> {
  await mkdir(to, { recursive: true });
  const files = (await readdir(from, { withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ name: file }) => ({ file, order: random.next() }))
    .sort((a, b) => a.order - b.order);
  for (const { file } of files)
    if (file !== "LOCK")
      await copyFile(path.join(from, file), path.join(to, file)).catch(
        (error: unknown) => {
          if (!(error instanceof Error && error.message.includes("ENOENT")))
            throw error;
        },
      );
}

/** The newest log of a closed database, and its length. */
export async function lastLog(
  directory: string,
): Promise<{ readonly file: string; readonly length: number }> {
  const logs = (await readdir(directory))
    .filter((file) => /^\d+\.log$/.test(file))
    .sort();
  const file = path.join(directory, logs.at(-1) ?? "");
  return { file, length: (await stat(file)).size };
}

/** Takes the end of the newest log away, as when it never reached the disk. */
export async function cutLog(directory: string, length: number): Promise<void> {
  await truncate((await lastLog(directory)).file, length);
}

/** Turns one byte of the newest log over. */
export async function spoilLog(directory: string, at: number): Promise<void> {
  const handle = await open((await lastLog(directory)).file, "r+");
  try {
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, at);
    byte[0] = (byte[0] ?? 0) ^ 0xff;
    await handle.write(byte, 0, 1, at);
  } finally {
    await handle.close();
  }
}

/** Places to cut a log at: its ends, and random ones. */
export function cuts(
  length: number,
  count: number,
  random: SeededRandom,
): readonly number[] {
  return [
    0,
    1,
    length - 1,
    length,
    ...Array.from({ length: count }, () => random.below(length)),
  ];
}
