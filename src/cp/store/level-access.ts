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
   * Whether a write failed since the database was opened: LevelDB's log may then end in half a record, and what comes
   * after that would be lost at the next start. Only opening it again makes it whole. Or whether that was not possible.
   */
  #suspect = false;
  /** The last write: one at a time, so that opening again meets no other. */
  #writing: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(database: LevelDatabase, options: LevelAccessOptions) {
    this.#database = database;
    this.#options = options;
  }

  /** Runs after the writes before it, whether those went well or not, with a database that takes writes. */
  inTurn<T>(run: () => Promise<T>): Promise<T> {
    return this.#serially(async () => {
      await this.#reopen();
      return run();
    });
  }

  /** Runs a write, in its turn only; when it fails, nothing that was known of the database is believed any more. */
  async write<T>(write: (database: LevelDatabase) => Promise<T>): Promise<T> {
    try {
      return await write(this.#database);
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

  /** Reads, and says what a failure means for people. */
  async read<T>(read: (database: LevelDatabase) => Promise<T>): Promise<T> {
    try {
      return await read(this.#database);
    } catch (error) {
      throw this.translate(error, "read");
    }
  }

  /** The database, opened again before when a write has failed: only then it tells what became of that. */
  async trusted(): Promise<LevelDatabase> {
    if (this.#suspect) await this.#serially(() => this.#reopen());
    return this.#database;
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
    this.#closing ??= this.#serially(() => this.#database.close());
    return this.#closing;
  }

  #serially<T>(run: () => Promise<T>): Promise<T> {
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

  async #reopen(): Promise<void> {
    if (!this.#suspect) return;
    const { directory, distrusted, logger } = this.#options;
    await this.read(async () => {
      // On a disk that is still full the database could not be opened again, and then not even be read.
      await this.#probe();
      await this.openAgain(openProvenDatabase);
    });
    distrusted();
    logger.info("store.reopened", { directory });
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
