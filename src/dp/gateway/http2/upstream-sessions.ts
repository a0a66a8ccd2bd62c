import type { Socket } from "node:net";
import type { Clock, Timer } from "../../../runtime/clock.ts";
import { UpstreamSession } from "./upstream-session.ts";

/** How long a connection without requests is kept. */
const IDLE_MS = 60_000;

/** The HTTP/2 connections to upstreams, by place. A place gets another one when all that it has are full. */
export class UpstreamSessions {
  readonly #clock: Clock;
  readonly #places = new Map<string, Set<UpstreamSession>>();
  /** Those that serve their last requests. */
  readonly #ending = new Set<UpstreamSession>();
  #retired = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Connections that are open, or being made. */
  get open(): number {
    return this.#all().length;
  }

  /** Connections that have requests. */
  get busy(): number {
    return this.#all().filter(({ busy }) => busy > 0).length;
  }

  /** A connection with a place for one more request, which is reserved: to be released when it is over. */
  reserve(place: string, connect: () => Socket): UpstreamSession {
    let sessions = this.#places.get(place);
    if (sessions === undefined)
      this.#places.set(place, (sessions = new Set<UpstreamSession>()));
    let found: UpstreamSession | undefined;
    for (const session of sessions)
      if (session.hasRoom) {
        found = session;
        break;
      }
    const session = found ?? this.#add(place, sessions, connect());
    session.reserve();
    return session;
  }

  /** Closes what is idle, and keeps no connection from now on. */
  retire(): void {
    this.#retired = true;
    for (const session of this.#all()) session.close();
  }

  /** Closes all at once. */
  destroy(): void {
    this.#retired = true;
    for (const session of this.#all()) session.destroy();
  }

  #add(
    place: string,
    sessions: Set<UpstreamSession>,
    socket: Socket,
  ): UpstreamSession {
    let timer: Timer | undefined;
    const session = new UpstreamSession(socket, this.#clock, {
      idle: () => {
        timer?.cancel();
        if (this.#ending.delete(session) || this.#retired) session.close();
        else
          timer = this.#clock.setTimer(IDLE_MS, () => {
            if (session.busy === 0) session.close();
          });
      },
      end: () => {
        timer?.cancel();
        sessions.delete(session);
        if (session.busy > 0) this.#ending.add(session);
        if (sessions.size === 0 && this.#places.get(place) === sessions)
          this.#places.delete(place);
      },
    });
    sessions.add(session);
    return session;
  }

  #all(): UpstreamSession[] {
    return [
      ...this.#ending,
      ...[...this.#places.values()].flatMap((sessions) => [...sessions]),
    ];
  }
}
