import type { Clock } from "../runtime/clock.ts";
import type { Gateway, Prepared, PrepareResult } from "./gateway/gateway.ts";
import type { State } from "./replica/last-good.ts";
import type { LoadedState } from "./replica/choose-start.ts";
import type { Activation } from "./sync/applier.ts";

/** What a data plane serves, since when and where from. */
export interface Applied extends State {
  readonly source: LoadedState["source"] | "control-plane";
  /** By the monotonic clock. */
  readonly sinceMs: number;
}

/** The way into the gateway, which remembers what went in. */
export class AppliedState implements Activation<Prepared> {
  readonly #gateway: Gateway;
  readonly #clock: Clock;
  #current: Applied | undefined;

  constructor(gateway: Gateway, clock: Clock) {
    this.#gateway = gateway;
    this.#clock = clock;
  }

  /** What is served; undefined before the first configuration. */
  get current(): Applied | undefined {
    return this.#current;
  }

  /** The gateway serves this already, from the disk. */
  begin(loaded: LoadedState): void {
    this.#current = { ...loaded, sinceMs: this.#clock.monotonic() };
  }

  prepare(
    state: State,
    onProgress: (done: number, total: number) => void,
  ): Promise<PrepareResult> {
    return this.#gateway.prepare(state, onProgress);
  }

  commit(prepared: Prepared): void {
    this.#gateway.commit(prepared);
    this.#current = {
      cursor: prepared.cursor,
      snapshot: prepared.snapshot,
      source: "control-plane",
      sinceMs: this.#clock.monotonic(),
    };
  }
}
