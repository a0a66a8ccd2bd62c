import { readdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { Logger } from "../../runtime/logger.ts";

/** So many damaged copies are kept: enough to look into what happens, and no disk is filled with them. */
const KEPT = 3;

/**
 * Moves what is damaged out of the way, as `<name>.damaged-<time>`, and returns where it went. Of all that were set
 * aside the newest three are kept.
 */
export async function setAside(
  file: string,
  options: { readonly logger: Logger; readonly now: () => number },
): Promise<string> {
  const prefix = `${path.basename(file)}.damaged-`;
  const directory = path.dirname(file);
  const time = new Date(options.now()).toISOString().replaceAll(":", "");
  const aside = await freeName(path.join(directory, prefix + time));
  await rename(file, aside);
  await dropOldest(directory, prefix, aside, options.logger);
  return aside;
}

async function freeName(name: string): Promise<string> {
  for (let i = 1; ; i++) {
    const candidate = i === 1 ? name : `${name}-${i}`;
    const taken = await stat(candidate).catch(() => undefined);
    if (taken === undefined) return candidate;
  }
}

/** Failing to is no trouble of those who set something aside. */
async function dropOldest(
  directory: string,
  prefix: string,
  newest: string,
  logger: Logger,
): Promise<void> {
  try {
    const others = (await readdir(directory))
      .filter((name) => name.startsWith(prefix))
      .map((name) => path.join(directory, name))
      .filter((file) => file !== newest);
    // By when they were set aside; the name goes by a clock that may have been wrong.
    const aged = await Promise.all(
      others.map(async (file) => ({ file, ...(await times(file)) })),
    );
    aged.sort((a, b) => a.ctimeMs - b.ctimeMs || (a.file < b.file ? -1 : 1));
    for (const { file } of aged.slice(0, Math.max(0, aged.length - KEPT + 1))) {
      await rm(file, { recursive: true, force: true });
      logger.warn("replica.damaged_dropped", { directory: file });
    }
  } catch (error) {
    logger.warn("replica.damaged_not_dropped", { directory, err: error });
  }
}

async function times(file: string): Promise<{ readonly ctimeMs: number }> {
  return { ctimeMs: (await stat(file)).ctimeMs };
}
