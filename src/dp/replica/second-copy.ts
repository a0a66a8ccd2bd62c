import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import {
  readStateCursor,
  readStateFile,
  writeStateFile,
  type State,
} from "./last-good.ts";
import { DamagedFileError } from "../state-reader.ts";
import { lastGoodFile } from "./replica-options.ts";
import { setAside } from "./set-aside.ts";

/** It is written at most this often. */
const LAST_GOOD_MS = 60_000;

export interface SecondCopyOptions {
  readonly dataDir: string;
  readonly workspace: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** last-good.hfs: the last applied state once more, in a form that survives what LevelDB does not. */
export class SecondCopy {
  readonly #options: SecondCopyOptions;
  readonly #file: string;
  #state: State | undefined;
  #timer: Timer | undefined;
  #writtenMs = -Infinity;
  #writing: Promise<void> = Promise.resolve();
  #closing = false;

  constructor(options: SecondCopyOptions) {
    this.#options = options;
    this.#file = lastGoodFile(options.dataDir);
  }

  /** Which state it says to be; undefined when there is none, or none of use. */
  async cursor(): Promise<Cursor | undefined> {
    try {
      return await readStateCursor(this.#file);
    } catch (error) {
      this.#options.logger.warn("replica.last_good_unusable", {
        file: this.#file,
        err: error,
      });
      return undefined;
    }
  }

  /** The state, proved whole; undefined when there is none, or none of use. */
  async read(): Promise<State | undefined> {
    const { logger, workspace } = this.#options;
    try {
      const state = await readStateFile(this.#file);
      if (state !== undefined && state.snapshot.workspace !== workspace)
        throw new DamagedFileError(
          `is of workspace "${state.snapshot.workspace}", this data plane is of "${workspace}"`,
        );
      return state;
    } catch (error) {
      logger.error("replica.last_good_unusable", {
        file: this.#file,
        err: error,
        consequence:
          "it is not started from, and is replaced with the next state",
      });
      return undefined;
    }
  }

  /** Has a state written, soon. */
  schedule(state: State): void {
    this.#state = state;
    if (this.#timer !== undefined || this.#closing) return;
    const { clock } = this.#options;
    const waitMs = Math.max(
      0,
      this.#writtenMs + LAST_GOOD_MS - clock.monotonic(),
    );
    this.#timer = clock.setTimer(waitMs, () => {
      this.#timer = undefined;
      this.#write();
    });
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#timer?.cancel();
    this.#write();
    await this.#writing;
  }

  #write(): void {
    const state = this.#state;
    if (state === undefined) return;
    this.#state = undefined;
    const { clock, logger } = this.#options;
    this.#writtenMs = clock.monotonic();
    this.#writing = this.#writing
      .then(() => this.#replace(state))
      .catch((error: unknown) => {
        logger.warn("replica.last_good_not_written", {
          file: this.#file,
          err: error,
          consequence: "the first copy is whole; tried again in a minute",
        });
        if (!this.#closing) this.schedule(this.#state ?? state);
      });
  }

  async #replace(state: State): Promise<void> {
    const { clock, logger } = this.#options;
    const write = (): Promise<void> =>
      writeStateFile(this.#file, state, clock.now());
    try {
      await write();
    } catch (error) {
      if (!isDirectoryInTheWay(error)) throw error;
      const movedTo = await setAside(this.#file, {
        logger,
        now: () => clock.now(),
      });
      logger.error("replica.last_good_damaged", {
        file: this.#file,
        moved_to: movedTo,
        err: error,
      });
      await write();
    }
  }
}

/** Nothing but a file can be replaced by a file. */
function isDirectoryInTheWay(error: unknown): boolean {
  return (
    error instanceof Error &&
    "syscall" in error &&
    error.syscall === "rename" &&
    "code" in error &&
    ["EISDIR", "ENOTEMPTY", "EEXIST"].includes(String(error.code))
  );
}
