import { createHash } from "node:crypto";
import type { createClient } from "@redis/client";
import type { RedisConfig } from "../../../gen/holdfast/plugin/v1/redis_pb.js";
import type { Clock, Timer } from "../../../runtime/clock.ts";
import type { Logger } from "../../../runtime/logger.ts";

/** A Lua script that a Redis server runs whole, nobody else's commands between its own. */
export type RedisScript = string;

/** What a client needs of its process. */
export interface RedisClientDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The server cannot be asked now. */
export class RedisAwayError extends Error {
  override readonly name = "RedisAwayError";
}

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 10_000;

/** Questions that wait for their answer, at most: a server that does not answer must not fill the memory. */
const MAX_PENDING = 10_000;

type Connection = ReturnType<typeof connectionTo>;

type State =
  /** Nobody has asked for anything yet. */
  | { readonly at: "idle" }
  | { readonly at: "connecting"; readonly ready: Promise<Connection> }
  | { readonly at: "ready"; readonly connection: Connection }
  /** Waiting to try again: questions are refused at once. */
  | { readonly at: "away"; readonly cause: Error; readonly timer: Timer }
  | { readonly at: "closed" };

/**
 * A connection to a Redis server that is made when it is first needed, and made anew, ever less eagerly, when it is lost.
 * Questions never wait for a server that is known to be away, nor for longer than the settings say.
 */
export class RedisClient {
  readonly #settings: RedisConfig;
  readonly #deps: RedisClientDeps;
  readonly #timeoutMs: number;
  #state: State = { at: "idle" };
  /** Attempts since the last one that succeeded. */
  #failures = 0;

  constructor(settings: RedisConfig, deps: RedisClientDeps) {
    this.#settings = settings;
    this.#deps = deps;
    this.#timeoutMs = settings.timeout ?? 2_000;
    // Now rather than when the first request waits for it. Whether it failed is seen then.
    library().catch(ignore);
  }

  /**
   * Runs a script.
   *
   * @throws RedisAwayError when the server is away, or does not answer in time.
   */
  async run(
    script: RedisScript,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<unknown> {
    const connection = await this.#connection();
    const rest = [String(keys.length), ...keys, ...args];
    const answer = connection
      .sendCommand(["EVALSHA", digestOf(script), ...rest])
      .catch((error: unknown) => {
        // The server has not seen it yet, or has been restarted.
        if (!(error instanceof Error && error.message.startsWith("NOSCRIPT")))
          throw error;
        return connection.sendCommand(["EVAL", script, ...rest]);
      });
    return this.#inTime(answer, (error) => {
      this.#lose(connection, error);
    });
  }

  /** Ends the connection. Questions under way fail. */
  close(): Promise<void> {
    const state = this.#state;
    this.#state = { at: "closed" };
    if (state.at === "ready") state.connection.destroy();
    if (state.at === "away") state.timer.cancel();
    // What is still connecting sees that it is closed, and ends itself.
    return state.at === "connecting"
      ? state.ready.then(ignore, ignore)
      : Promise.resolve();
  }

  async #connection(): Promise<Connection> {
    const state = this.#state;
    switch (state.at) {
      case "ready":
        return state.connection;
      case "idle":
        return this.#connect();
      case "connecting":
        // Only the first time: later on, requests do not wait to see whether it is back.
        if (this.#failures > 0) throw this.#away("it does not answer");
        return state.ready;
      case "away":
        throw this.#away(state.cause.message, state.cause);
      case "closed":
        throw this.#away("the client is closed");
      default:
        return state satisfies never;
    }
  }

  #connect(): Promise<Connection> {
    const ready = this.#open().then(
      (connection) => {
        if (this.#state.at === "closed") {
          connection.destroy();
          throw this.#away("the client is closed");
        }
        if (this.#failures > 0)
          this.#deps.logger.info("redis.back", this.#where);
        this.#failures = 0;
        this.#state = { at: "ready", connection };
        return connection;
      },
      (error: unknown) => {
        this.#fail(error instanceof Error ? error : new Error(String(error)));
        throw this.#away("it cannot be reached", error);
      },
    );
    this.#state = { at: "connecting", ready };
    return ready;
  }

  async #open(): Promise<Connection> {
    const connection = connectionTo(await library(), this.#settings);
    connection.on("error", (error: Error) => {
      this.#lose(connection, error);
    });
    await this.#inTime(connection.connect(), () => {
      connection.destroy();
    });
    return connection;
  }

  /** A connection that was there broke, or does not answer. */
  #lose(connection: Connection, cause: Error): void {
    const state = this.#state;
    if (state.at !== "ready" || state.connection !== connection) return;
    connection.destroy();
    this.#fail(cause);
  }

  #fail(cause: Error): void {
    if (this.#state.at === "closed") return;
    if (this.#failures === 0)
      this.#deps.logger.warn("redis.away", { ...this.#where, err: cause });
    const delayMs = Math.min(
      LAST_RETRY_MS,
      FIRST_RETRY_MS * 2 ** Math.min(this.#failures, 16),
    );
    this.#failures++;
    const timer = this.#deps.clock.setTimer(delayMs, () => {
      // Whoever asks is told by the state; `#fail` has seen to the next attempt.
      this.#connect().catch(ignore);
    });
    this.#state = { at: "away", cause, timer };
  }

  async #inTime<T>(
    work: Promise<T>,
    onTimeout: (error: Error) => void,
  ): Promise<T> {
    let timer: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = this.#deps.clock.setTimer(this.#timeoutMs, () => {
        const error = this.#away(`no answer in ${this.#timeoutMs} ms`);
        reject(error);
        onTimeout(error);
      });
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      timer?.cancel();
    }
  }

  #away(why: string, cause?: unknown): RedisAwayError {
    const { host, port } = this.#settings;
    return new RedisAwayError(`Redis at ${host}:${port}: ${why}`, { cause });
  }

  get #where(): { readonly host: string; readonly port: number } {
    const { host, port } = this.#settings;
    return { host, port: port ?? 6379 };
  }
}

/** Most gateways need none of it, and it is much of what a data plane would load to start. */
const library = () => import("@redis/client");

function connectionTo(
  client: { readonly createClient: typeof createClient },
  settings: RedisConfig,
) {
  const { host, port, username, password, database, serverName } = settings;
  return client.createClient({
    socket: {
      host,
      port: port ?? 6379,
      connectTimeout: settings.timeout ?? 2_000,
      reconnectStrategy: false,
      ...(settings.ssl
        ? {
            tls: true,
            rejectUnauthorized: settings.sslVerify,
            servername: serverName === "" ? host : serverName,
          }
        : {}),
    },
    ...(username === "" ? {} : { username }),
    ...(password === "" ? {} : { password }),
    database,
    commandsQueueMaxLength: MAX_PENDING,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: "disabled",
  });
}

const digests = new Map<RedisScript, string>();

function digestOf(script: RedisScript): string {
  let digest = digests.get(script);
  if (digest === undefined) {
    digest = createHash("sha1").update(script, "utf8").digest("hex");
    digests.set(script, digest);
  }
  return digest;
}

function ignore(): void {
  // See where it is used.
}
