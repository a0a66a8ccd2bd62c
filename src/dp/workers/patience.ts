import type { Clock, Timer } from "../../runtime/clock.ts";

/** When a worker counts as hanging. */
export interface Patience {
  /** How often a worker is asked for a sign of life. */
  readonly heartbeatMs: number;
  /** So many without an answer in a row, and it is killed. */
  readonly heartbeats: number;
  /** How long it may say nothing of a state that it prepares. */
  readonly silenceMs: number;
}

export interface HeartbeatOptions {
  readonly patience: Patience;
  readonly clock: Clock;
  /** Asks for a sign of life. */
  readonly ask: () => void;
  readonly onSilent: (forSeconds: number) => void;
}

/** Asks for signs of life, and tells when there are none. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: Timer | undefined;
  #unanswered = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  begin(): void {
    const { clock, patience, ask, onSilent } = this.#options;
    const { heartbeatMs, heartbeats } = patience;
    this.#timer = clock.setTimer(heartbeatMs, () => {
      // Counted, not timed: where this process was stopped itself, no worker is to blame.
      if (this.#unanswered++ >= heartbeats)
        onSilent((heartbeats * heartbeatMs) / 1000);
      else {
        ask();
        this.begin();
      }
    });
  }

  /** A sign of life, of whatever kind. */
  heard(): void {
    this.#unanswered = 0;
  }

  stop(): void {
    this.#timer?.cancel();
  }
}

/** Tells when nothing is heard of something for too long. */
export class Silence {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #onSilent: (forSeconds: number) => void;
  #timer: Timer | undefined;

  /** Begins at once. */
  constructor(
    { clock, patience }: { readonly clock: Clock; readonly patience: Patience },
    onSilent: (forSeconds: number) => void,
  ) {
    this.#clock = clock;
    this.#ms = patience.silenceMs;
    this.#onSilent = onSilent;
    this.heard();
  }

  /** Something was heard: it begins anew. */
  heard(): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(this.#ms, () => {
      this.#onSilent(this.#ms / 1000);
    });
  }

  end(): void {
    this.#timer?.cancel();
  }
}
