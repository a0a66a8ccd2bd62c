import { randomUUID } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { writeFileDurably } from "../runtime/durable-file.ts";
import type { Logger } from "../runtime/logger.ts";

const NODE_ID = /^[0-9A-Za-z._-]{1,128}$/;

/**
 * The node's id: the one given, else the one kept in the data directory, else a new one, which is kept there. A file
 * with something else in it is replaced, loudly.
 */
export async function resolveNodeId(
  dataDir: string,
  given: string | undefined,
  logger: Logger,
): Promise<string> {
  if (given !== undefined) return given;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const file = path.join(dataDir, "node-id");
  try {
    const kept = (await readFile(file, "utf8")).trim();
    if (NODE_ID.test(kept)) return kept;
    logger.warn("node_id.invalid", { file, content: kept.slice(0, 200) });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT"))
      throw error;
  }
  const id = randomUUID();
  await writeFileDurably(file, `${id}\n`);
  return id;
}
