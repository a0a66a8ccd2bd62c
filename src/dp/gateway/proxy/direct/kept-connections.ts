import type { Socket } from "node:net";
import type { Clock, Timer } from "../../../../runtime/clock.ts";
import {
  DirectConnection,
  type ConnectionOptions,
  type ConnectionOwner,
} from "./direct-connection.ts";

/** How many connections are kept, and how long. */
export interface KeepSettings {
  /** Idle ones to one place. */
  readonly maxIdle: number;
  /** Requests that one serves. */
  readonly maxUses: number;
  readonly idleSeconds: number;
}

interface Idle {
  readonly connection: DirectConnection;
  /** In seconds of the sweeper. */
  readonly until: number;
}

const SWEEP_MS = 1_000;
/** An upstream that closes after so many seconds is not asked again in the last of them. */
const MARGIN_SECONDS = 1;

/** Connections that wait for a next request, by where they lead; the one that was used last is used first. */
export class KeptConnections implements ConnectionOwner {
  readonly #clock: Clock;
  readonly #settings: KeepSettings;
  readonly #idle = new Map<string, Idle[]>();
  readonly #all = new Set<DirectConnection>();
  #idleCount = 0;
  /** Seconds that the sweeper has counted: only while something is idle. */
  #seconds = 0;
  #sweeping: Timer | undefined;
  #retired = false;

  constructor(clock: Clock, settings: KeepSettings) {
    this.#clock = clock;
    this.#settings = settings;
  }

  /** Connections that are open or being opened. */
  get open(): number {
    return this.#all.size;
  }

  /** Of these, those that serve a request. */
  get busy(): number {
    return this.#all.size - this.#idleCount;
  }

  /** A connection to there that is open already. */
  take(name: string): DirectConnection | undefined {
    const idle = this.#idle.get(name);
    for (let last = idle?.pop(); last !== undefined; last = idle?.pop()) {
      this.#idleCount--;
      if (last.connection.usable) return last.connection;
      last.connection.close(ENOUGH);
    }
    return undefined;
  }

  /** Takes in a connection that is being opened. */
  add(
    socket: Socket,
    options: Omit<ConnectionOptions, "owner">,
  ): DirectConnection {
    const connection = new DirectConnection(socket, {
      ...options,
      owner: this,
    });
    this.#all.add(connection);
    return connection;
  }

  free(connection: DirectConnection): void {
    const { maxIdle, maxUses, idleSeconds } = this.#settings;
    const { name, uses, keepSeconds } = connection;
    let idle = this.#idle.get(name);
    if (idle === undefined) this.#idle.set(name, (idle = []));
    const seconds = Math.min(idleSeconds, keepSeconds - MARGIN_SECONDS);
    if (
      this.#retired ||
      seconds <= 0 ||
      uses >= maxUses ||
      idle.length >= maxIdle
    ) {
      connection.close(ENOUGH);
      return;
    }
    idle.push({ connection, until: this.#seconds + seconds });
    this.#idleCount++;
    this.#sweeping ??= this.#clock.setTimer(SWEEP_MS, this.#sweep);
  }

  gone(connection: DirectConnection): void {
    this.#all.delete(connection);
    const idle = this.#idle.get(connection.name);
    if (idle === undefined) return;
    const at = idle.findIndex((one) => one.connection === connection);
    if (at >= 0) {
      idle.splice(at, 1);
      this.#idleCount--;
    }
    if (idle.length === 0) this.#idle.delete(connection.name);
  }

  /** Closes what is idle, and keeps no connection from now on. */
  retire(): void {
    this.#retired = true;
    this.#closeIdle(() => true);
  }

  /** Closes all at once. */
  destroy(): void {
    this.#retired = true;
    this.#sweeping?.cancel();
    for (const connection of [...this.#all])
      connection.close(new Error("the data plane stops"));
  }

  readonly #sweep = (): void => {
    this.#sweeping = undefined;
    this.#seconds++;
    this.#closeIdle(({ until }) => until <= this.#seconds);
    if (this.#idleCount > 0)
      this.#sweeping = this.#clock.setTimer(SWEEP_MS, this.#sweep);
  };

  #closeIdle(which: (idle: Idle) => boolean): void {
    for (const list of [...this.#idle.values()])
      for (const idle of list.filter(which)) idle.connection.close(ENOUGH);
  }
}

const ENOUGH = new Error("the connection is not kept");
