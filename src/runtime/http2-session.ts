import type { ServerHttp2Session } from "node:http2";
import type { Clock, Timer } from "./clock.ts";

export interface SessionSupervision {
  readonly clock: Clock;
  /** How long the peer's first SETTINGS may take. */
  readonly headersMs: number;
  /** Time between two pings. */
  readonly pingMs: number;
  /** How long the answer to a ping may take. */
  readonly pingTimeoutMs: number;
}

/**
 * Destroys a connection whose peer does not even begin, or has gone without a word. Node's http2 does neither by itself,
 * and a stream to a peer that is gone would be kept forever.
 */
export function superviseSession(
  session: ServerHttp2Session,
  { clock, headersMs, pingMs, pingTimeoutMs }: SessionSupervision,
): void {
  let timer: Timer = clock.setTimer(headersMs, giveUp);
  session.once("remoteSettings", pause);
  session.once("close", () => {
    timer.cancel();
  });

  function giveUp(): void {
    session.destroy();
  }

  function pause(): void {
    timer.cancel();
    if (!session.destroyed) timer = clock.setTimer(pingMs, ask);
  }

  function ask(): void {
    if (session.destroyed) return;
    timer = clock.setTimer(pingTimeoutMs, giveUp);
    session.ping((error) => {
      if (error === null) pause();
    });
  }
}
