import { describeCursor } from "../model/cursor.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Gateway, Prepared, PrepareResult } from "./gateway/gateway.ts";
import type { LoadedState } from "./replica/choose-start.ts";
import type { CrashGuard } from "./replica/crash-guard.ts";
import type { State } from "./replica/last-good.ts";
import type { Activation } from "./sync/applier.ts";

/** What a data plane serves, since when and where from. */
export interface Applied extends State {
  readonly source: LoadedState["source"] | "fallback" | "control-plane";
  /** By the monotonic clock. */
  readonly sinceMs: number;
}

export interface AppliedStateOptions {
  readonly gateway: Gateway;
  /** Hears of every state before the gateway has it: the process may not outlive it. */
  readonly guard: Pick<CrashGuard, "taking" | "dropped" | "serving">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The way into the gateway, which remembers what went in. */
export class AppliedState implements Activation<Prepared> {
  readonly #options: AppliedStateOptions;
  #current: Applied | undefined;

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
      this.commit(result.prepared, loaded.source);
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

  async prepare(
    state: State,
    onProgress?: (done: number, total: number) => void,
  ): Promise<PrepareResult> {
    const { gateway, guard } = this.#options;
    await guard.taking(state.cursor);
    let taken = false;
    try {
      const result = await gateway.prepare(state, onProgress);
      taken = result.ok;
      return result;
    } finally {
      if (!taken) await guard.dropped();
    }
  }

  /** A state that was prepared will not be served after all. */
  drop(): Promise<void> {
    return this.#options.guard.dropped();
  }

  commit(
    prepared: Prepared,
    source: Applied["source"] = "control-plane",
  ): void {
    const { gateway, guard, clock, logger } = this.#options;
    gateway.commit(prepared);
    guard.serving(prepared.cursor);
    const { cursor, snapshot } = prepared;
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
