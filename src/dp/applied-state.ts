import type { Cursor } from "../gen/holdfast/config/v1/cursor_pb.js";
import { describeCursor } from "../model/cursor.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Prepared, PrepareResult } from "./gateway/states.ts";
import type { ProxyGateway } from "./proxy-gateway.ts";
import type { LoadedState } from "./replica/choose-start.ts";
import type { CrashGuard } from "./replica/crash-guard.ts";
import type { State } from "./replica/last-good.ts";
import { andThen } from "./sync/and-then.ts";
import type { Activation } from "./sync/applier.ts";

/** What a data plane serves, since when and where from. */
export interface Applied extends State {
  readonly source: LoadedState["source"] | "fallback" | "control-plane";
  /** By the monotonic clock. */
  readonly sinceMs: number;
}

export interface AppliedStateOptions {
  readonly gateway: Pick<ProxyGateway, "prepare" | "commit" | "drop">;
  /** Hears of every state before the gateway has it: the process may not outlive it. */
  readonly guard: Pick<CrashGuard, "taking" | "dropped" | "serving">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A state that was handed to the gateway and is not served. */
interface Attempt {
  readonly cursor: Cursor;
  /** Whether it is still being prepared. */
  isGoingOn: boolean;
  /** It will not be served, however its preparation ends. */
  isGivenUp: boolean;
}

/** The way into the gateway, which remembers what went in. */
export class AppliedState implements Activation<Prepared> {
  readonly #options: AppliedStateOptions;
  #current: Applied | undefined;
  /** The last: what the guard blames. */
  #attempt: Attempt | undefined;

  constructor(options: AppliedStateOptions) {
    this.#options = options;
  }

  /** What is served; undefined before the first configuration. */
  get current(): Applied | undefined {
    return this.#current;
  }

  /** Serves what was found on the disk. False when this build cannot. */
  async restore(loaded: LoadedState): Promise<boolean> {
    const result = await this.prepare(loaded);
    if (result.ok) {
      await this.commit(result.prepared, loaded.source);
      return true;
    }
    // Another build wrote it. It stays on disk; the control plane is told and sends what this build can use.
    this.#options.logger.error("replica.not_servable", {
      revision: loaded.cursor.revision,
      class: result.class,
      violations: result.violations.slice(0, 3),
    });
    return false;
  }

  /** Nothing is served any more. */
  withdraw(): void {
    this.#current = undefined;
  }

  async prepare(
    state: State,
    onProgress?: (done: number, total: number) => void,
  ): Promise<PrepareResult> {
    const { gateway, guard } = this.#options;
    const { cursor } = state;
    const attempt: Attempt = { cursor, isGoingOn: true, isGivenUp: false };
    this.#attempt = attempt;
    await guard.taking(cursor);
    let taken = false;
    try {
      const result = await gateway.prepare(state, onProgress);
      taken = result.ok;
      return result;
    } finally {
      attempt.isGoingOn = false;
      if (!taken || attempt.isGivenUp) await this.#giveUp(attempt);
    }
  }

  /** A state that was to be prepared will not be served after all. */
  async drop({ root }: Cursor): Promise<void> {
    const attempt = this.#attempt;
    if (attempt?.cursor.root !== root) return;
    attempt.isGivenUp = true;
    this.#options.gateway.drop?.(attempt.cursor);
    // Whoever asked for it is gone; the work is not, and may still be fatal.
    if (!attempt.isGoingOn) await this.#giveUp(attempt);
  }

  /** What was taken up since, though it be the same state again, stays on trial. */
  async #giveUp(attempt: Attempt): Promise<void> {
    if (this.#attempt !== attempt) return;
    this.#attempt = undefined;
    await this.#options.guard.dropped(attempt.cursor);
  }

  commit(
    prepared: Prepared,
    source: Applied["source"] = "control-plane",
  ): void | Promise<void> {
    return andThen(this.#options.gateway.commit(prepared), () => {
      this.#committed(prepared, source);
    });
  }

  #committed({ cursor, snapshot }: Prepared, source: Applied["source"]): void {
    const { guard, clock, logger } = this.#options;
    guard.serving(cursor);
    if (this.#attempt?.cursor.root === cursor.root) this.#attempt = undefined;
    const before = this.#current?.cursor;
    // The one way to serve less than was acknowledged that a control plane can cause.
    if (before !== undefined && before.epoch !== cursor.epoch)
      logger.warn("config.history_changed", {
        served: describeCursor(before),
        serving: describeCursor(cursor),
      });
    this.#current = { cursor, snapshot, source, sinceMs: clock.monotonic() };
  }
}
