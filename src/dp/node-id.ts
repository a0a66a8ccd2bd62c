import { randomUUID } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { ConfigError } from "../model/violation.ts";
import { writeFileDurably } from "../runtime/durable-file.ts";
import type { Logger } from "../runtime/logger.ts";

const NODE_ID = /^[0-9A-Za-z._-]{1,128}$/;

/** Where in its directory a data plane keeps its id. */
export const NODE_ID_FILE = "node-id";

/** What says which node this is. */
export interface NodeIdSources {
  readonly given: string | undefined;
  /** The node that the certificate is of; the control plane takes it for no other. */
  readonly certified: string | undefined;
}

/**
 * The node's id: the one given or certified, else the one kept in the data directory, else a new one, which is kept
 * there. A file with something else in it is replaced, loudly.
 *
 * @throws ConfigError when the certificate is of another node than the one given, or of none that there can be.
 */
export async function resolveNodeId(
  dataDir: string,
  { given, certified }: NodeIdSources,
  logger: Logger,
): Promise<string> {
  if (certified !== undefined) {
    checkCertified(given, certified);
    return certified;
  }
  if (given !== undefined) return given;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const file = path.join(dataDir, NODE_ID_FILE);
  try {
    const kept = (await readFile(file, "utf8")).trim();
    if (NODE_ID.test(kept)) return kept;
    logger.warn("node_id.invalid", { file, content: kept.slice(0, 200) });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT"))
      throw error;
  }
  const id = randomUUID();
  try {
    await writeFileDurably(file, `${id}\n`);
  } catch (error) {
    // A disk that is full is no reason not to serve.
    logger.error("node_id.not_stored", {
      file,
      id,
      err: error,
      consequence: "after a restart this node appears as another one",
    });
  }
  return id;
}

function checkCertified(given: string | undefined, certified: string): void {
  if (!NODE_ID.test(certified))
    throw new ConfigError(
      "failed_precondition",
      `--cluster-cert: the certificate is of "${certified}", which cannot be a node's id: it needs the URI holdfast:node:ID among its names, or the id as common name, of letters, digits, dots, underscores and hyphens`,
    );
  if (given !== undefined && given !== certified)
    throw new ConfigError(
      "failed_precondition",
      `--node-id ${given}: the certificate in --cluster-cert is of node "${certified}", and the control plane takes it for no other: leave --node-id away, or give this node a certificate of its own`,
    );
}
