import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Clock, Timer } from "../../runtime/clock.ts";
import { blamedFor, settle, take, without, type Trials } from "./trials.ts";

/** A state that was served for so long has proved itself. */
const PROVED_MS = 10_000;

/**
 * Keeps account of what this process takes up, so that a state that kills it again and again is found out at a later
 * start. What is written goes before the work that may be fatal, and never fails it: on a disk that cannot be written
 * there is no guard.
 */
export class CrashGuard {
  readonly #boot: string;
  readonly #clock: Clock;
  readonly #store: (trials: Trials) => Promise<void>;
  #trials: Trials;
  /** What is served and has not proved itself. */
  #proving: { readonly cursor: Cursor; readonly timer: Timer } | undefined;
  #ended = false;

  constructor(options: {
    /** Random id of this process. */
    readonly boot: string;
    readonly clock: Clock;
    readonly trials: Trials;
    /** Hands the account to the disk. Never rejects. */
    readonly store: (trials: Trials) => Promise<void>;
  }) {
    this.#boot = options.boot;
    this.#clock = options.clock;
    this.#trials = options.trials;
    this.#store = options.store;
  }

  /** A state is going to be prepared, and served if that works: from now on a crash is put down to it. */
  taking(cursor: Cursor): Promise<void> {
    return this.#keep(take(this.#trials, cursor, this.#boot));
  }

  /**
   * It will not be served: what is, if it has not proved itself, is to blame again. Nothing changes when another state has
   * been taken up since.
   */
  async dropped({ root }: Cursor): Promise<void> {
    const blamed = blamedFor(this.#trials, this.#boot);
    if (blamed?.root !== root) return;
    const others = without(this.#trials, this.#boot);
    await this.#keep(
      this.#proving === undefined
        ? others
        : take(others, this.#proving.cursor, this.#boot),
    );
  }

  /** It is served: after ten seconds it has proved itself. */
  serving(cursor: Cursor): void {
    this.#proving?.timer.cancel();
    this.#proving = undefined;
    if (this.#ended) return;
    const timer = this.#clock.setTimer(PROVED_MS, () => {
      this.#proving = undefined;
      void this.#keep(settle(this.#trials, cursor.root));
    });
    this.#proving = { cursor, timer };
  }

  /** This process ends because it was asked to, or failed for other reasons: nothing is to blame for that. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#proving?.timer.cancel();
    this.#proving = undefined;
    await this.#keep([]);
    this.#ended = true;
  }

  async #keep(trials: Trials): Promise<void> {
    if (this.#ended || (trials.length === 0 && this.#trials.length === 0))
      return;
    this.#trials = trials;
    await this.#store(trials);
  }
}
