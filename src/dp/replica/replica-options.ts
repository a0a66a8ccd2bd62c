import { stat } from "node:fs/promises";
import path from "node:path";
import type { Registry } from "prom-client";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { isTemporaryOf } from "../../runtime/durable-file.ts";
import { openPrivateDirectory } from "../../runtime/private-directory.ts";
import { NODE_ID_FILE } from "../node-id.ts";
import { isOutside } from "./outside.ts";
import { ReplicaError, type DatabaseOptions } from "./replica-database.ts";

export interface ReplicaStoreOptions {
  /** The data plane's own directory; made if need be. */
  readonly dataDir: string;
  readonly workspace: string;
  /** Build and features of the process: refusals of another one are forgotten. Default: nobody in particular. */
  readonly refuser?: string;
  /** Random id of the process. Default: a new one. */
  readonly boot?: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: nobody counts. */
  readonly metrics?: Registry;
}

/**
 * Makes the data directory, the owner's alone. One that is there and cannot be written is no failure: it may hold what
 * can be read.
 *
 * @throws ReplicaError when there is none and none can be made.
 */
export async function openDataDir({
  dataDir,
  logger,
}: ReplicaStoreOptions): Promise<void> {
  try {
    await openPrivateDirectory(dataDir, isOurs);
  } catch (error) {
    const found = await stat(dataDir).catch(() => undefined);
    if (found?.isDirectory() !== true || !isOutside(error))
      throw new ReplicaError(
        `cannot use ${dataDir}: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    logger.warn("replica.modes_not_set", { directory: dataDir, err: error });
  }
}

const LAST_GOOD_FILE = "last-good.hfs";
const DATABASE_DIRECTORY = "replica";

/** Whether a data plane has such a name in its directory. */
function isOurs(name: string): boolean {
  const files = [NODE_ID_FILE, LAST_GOOD_FILE];
  const names = [...files, DATABASE_DIRECTORY];
  return (
    names.includes(name) ||
    files.some((file) => isTemporaryOf(file, name)) ||
    names.some((each) => name.startsWith(`${each}.damaged-`))
  );
}

/** Whether anything was ever stored in the data directory. */
export async function holdsAnything(dataDir: string): Promise<boolean> {
  const found = await Promise.all(
    [databaseDirectory(dataDir), lastGoodFile(dataDir)].map((name) =>
      stat(name).catch(() => undefined),
    ),
  );
  return found.some((each) => each !== undefined);
}

/** The database of a replica, for opening it. */
export function databaseOf(options: ReplicaStoreOptions): DatabaseOptions {
  return {
    directory: databaseDirectory(options.dataDir),
    workspace: options.workspace,
    logger: options.logger,
    refuser: options.refuser ?? "",
    now: () => options.clock.now(),
  };
}

/** The second copy. */
export function lastGoodFile(dataDir: string): string {
  return path.join(dataDir, LAST_GOOD_FILE);
}

function databaseDirectory(dataDir: string): string {
  return path.join(dataDir, DATABASE_DIRECTORY);
}
