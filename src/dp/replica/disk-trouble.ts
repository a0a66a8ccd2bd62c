import { describeCursor } from "../../model/cursor.ts";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { LIMITS } from "../../sync/limits.ts";
import { isOutside, isShortOfMemory, messagesOf } from "./outside.ts";

/** Why nothing can be stored at present. */
export interface Trouble {
  readonly reason: string;
  /** By the monotonic clock. */
  readonly sinceMs: number;
}

/** While it lasts, one failure in so many is said. */
const SAID_EVERY = 10;

/** Keeps account of a disk that does not take writes: says so, and has it tried again, less and less often. */
export class DiskTrouble {
  readonly #options: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly retry: () => void;
  };
  #current: Trouble | undefined;
  #failures = 0;
  #timer: Timer | undefined;

  constructor(options: {
    readonly clock: Clock;
    readonly logger: Logger;
    /** Tries it again. */
    readonly retry: () => void;
  }) {
    this.#options = options;
  }

  get current(): Trouble | undefined {
    return this.#current;
  }

  /** A write has failed. `serving` is what goes on being served. */
  failed(error: unknown, serving: Cursor | undefined): void {
    const { clock, logger, retry } = this.#options;
    this.#current = {
      reason: messagesOf(error),
      sinceMs: this.#current?.sinceMs ?? clock.monotonic(),
    };
    const delayMs = Math.min(
      LIMITS.storeRetryMinMs * 2 ** this.#failures,
      LIMITS.storeRetryMaxMs,
    );
    const line = {
      err: error,
      serving: describeCursor(serving),
      consequence:
        "what is served goes on being served; new states are refused as LOCAL_IO until the disk takes writes",
      advice: adviceOn(error),
      retry_ms: delayMs,
    };
    if (this.#failures === 0) logger.error("replica.not_writable", line);
    else if (this.#failures % SAID_EVERY === 0)
      logger.error("replica.still_not_writable", line);
    this.#failures++;
    this.#timer ??= clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      retry();
    });
  }

  /** It takes writes again. */
  over(): void {
    this.stop();
    this.#current = undefined;
    this.#failures = 0;
  }

  /** Tries nothing again. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

function adviceOn(error: unknown): string {
  if (isShortOfMemory(error)) return "let this process have more memory";
  return isOutside(error)
    ? "make room on the disk, or the data directory writable"
    : "look at the disk and the system's log";
}
