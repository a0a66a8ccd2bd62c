import type { ServerHttp2Session } from "node:http2";
import type { Clock, Timer } from "../../../runtime/clock.ts";
import { LIMITS } from "./limits.ts";

/**
 * Ends an HTTP/2 connection that has had no request for some time, and one with requests whose client is gone without a
 * word: node's http2 does neither by itself.
 */
export class SessionWatch {
  readonly #session: ServerHttp2Session;
  readonly #clock: Clock;
  #streams = 0;
  #idleSince: number;
  #timer: Timer;

  constructor(session: ServerHttp2Session, clock: Clock) {
    this.#session = session;
    this.#clock = clock;
    this.#idleSince = clock.monotonic();
    this.#timer = this.#lookIn(LIMITS.idleMs);
  }

  /** A request has begun. */
  opened(): void {
    this.#streams++;
  }

  /** A request is over. */
  closed(): void {
    if (--this.#streams === 0) this.#idleSince = this.#clock.monotonic();
  }

  /** The connection is over. */
  stop(): void {
    this.#timer.cancel();
  }

  /** One timer after the other, and none for each request. */
  #lookIn(delayMs: number): Timer {
    return this.#clock.setTimer(delayMs, () => {
      if (this.#session.destroyed) return;
      if (this.#streams > 0) {
        this.#ask();
        return;
      }
      const left = this.#idleSince + LIMITS.idleMs - this.#clock.monotonic();
      if (left > 0) this.#timer = this.#lookIn(left);
      else this.#session.close();
    });
  }

  #ask(): void {
    this.#timer = this.#clock.setTimer(LIMITS.pingTimeoutMs, () => {
      this.#session.destroy();
    });
    this.#session.ping((error) => {
      if (error !== null) return;
      this.#timer.cancel();
      if (!this.#session.destroyed) this.#timer = this.#lookIn(LIMITS.pingMs);
    });
  }
}
