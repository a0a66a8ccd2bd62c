import { rm } from "node:fs/promises";
import path from "node:path";
import { ConfigError } from "../../model/violation.ts";
import { writeFileDurably } from "../../runtime/durable-file.ts";
import type { Logger } from "../../runtime/logger.ts";
import {
  isDatabaseFile,
  openPrivateDirectory,
} from "../../runtime/private-directory.ts";
import { PROBE_FILE } from "../control-plane-files.ts";
import {
  openDatabase,
  openProvenDatabase,
  type LevelDatabase,
} from "./level-database.ts";
import { damaged, storeError, type StoreAction } from "./level-errors.ts";
import { checkFormat } from "./level-format.ts";
import { DamagedError } from "./level-load.ts";

/** Written to see whether the disk takes writes again: as much as opening may write, two write buffers of LevelDB. */
const PROBE_BYTES = 8 << 20;

export interface LevelAccessOptions {
  readonly directory: string;
  readonly logger: Logger;
  /** What was known of the database is not to be believed any more. */
  readonly distrusted: () => void;
}

/** Opens the database of a store, or creates it. */
export async function openStoreDatabase(
  directory: string,
): Promise<LevelDatabase> {
  let database: LevelDatabase | undefined;
  try {
    await openPrivateDirectory(directory, isDatabaseFile);
    database = await openProvenDatabase(directory);
    await checkFormat(database, directory);
    return database;
  } catch (error) {
    await database?.close();
    throw storeError(error, "open", directory);
  }
}

/** A database that takes one write at a time, and is opened again after one that failed. */
export class LevelAccess {
  readonly #options: LevelAccessOptions;
  #database: LevelDatabase;
  /**
   * Whether a write failed since the database was opened, or it could not be opened again. LevelDB's log may after a write
   * that failed end in half a record, and what comes behind that would be lost at the next start: only opening it again
   * makes it whole.
   */
  #suspect = false;
  /** The last write: one at a time, so that opening again meets no other. */
  #writing: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(database: LevelDatabase, options: LevelAccessOptions) {
    this.#database = database;
    this.#options = options;
  }

  /** The database as it is open now: opening it again makes it another. */
  get database(): LevelDatabase {
    return this.#database;
  }

  /** Runs after the writes before it, whether those went well or not. */
  serially<T>(run: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined)
      return Promise.reject(
        new ConfigError(
          "unavailable",
          `the store in ${this.#options.directory} is closed`,
        ),
      );
    const result = this.#writing.then(run, run);
    this.#writing = result;
    return result;
  }

  /** Runs a write; when it fails, nothing that was known of the database is believed any more. */
  async write(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#suspect = true;
      this.#options.distrusted();
      this.#options.logger.error("store.write_failed", {
        directory: this.#options.directory,
        err: error,
      });
      throw this.translate(error, "commit");
    }
  }

  /** Runs something, and says what its failure means for people. */
  async attempt<T>(action: StoreAction, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw this.translate(error, action);
    }
  }

  /** Opens the database again when a write has failed. In its turn only. */
  async reopen(): Promise<void> {
    if (!this.#suspect) return;
    const { directory, distrusted, logger } = this.#options;
    await this.attempt("read", async () => {
      // On a disk that is still full the database could not be opened again, and then not even be read.
      await this.#probe();
      await this.openAgain(openProvenDatabase);
    });
    distrusted();
    logger.info("store.reopened", { directory });
  }

  /** The same, in a turn of its own. */
  async trusted(): Promise<void> {
    if (this.#suspect) await this.serially(() => this.reopen());
  }

  /** Opens the database again, in its turn only. */
  async openAgain(open = openDatabase): Promise<void> {
    // Until it is open: it may fail for want of memory or files, and must then be tried again.
    this.#suspect = true;
    await this.#database.close();
    this.#database = await open(this.#options.directory);
    this.#suspect = false;
  }

  /** What an error of the database means for people. */
  translate(error: unknown, action: StoreAction): unknown {
    const { directory } = this.#options;
    if (error instanceof DamagedError)
      return damaged(directory, error.message, error);
    // A mistake of the program stays what it is.
    if (error instanceof TypeError) return error;
    return storeError(error, action, directory);
  }

  /** Closes the database after what is being written. */
  close(): Promise<void> {
    this.#closing ??= this.serially(() => this.#database.close());
    return this.#closing;
  }

  /** Fails when the disk takes no write. */
  async #probe(): Promise<void> {
    const file = path.join(path.dirname(this.#options.directory), PROBE_FILE);
    try {
      await writeFileDurably(file, Buffer.alloc(PROBE_BYTES));
    } finally {
      await rm(file, { force: true });
    }
  }
}
