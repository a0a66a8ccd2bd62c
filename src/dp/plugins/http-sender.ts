import { Agent, request } from "undici";
import type { Clock } from "../../runtime/clock.ts";

/** Where and how bodies are sent. */
export interface HttpSenderOptions {
  readonly url: string;
  readonly method: "POST" | "PUT" | "PATCH" | (string & {});
  readonly headers: Readonly<Record<string, string>>;
  /** From the connection to the end of the answer. */
  readonly timeoutMs: number;
  /** How long an idle connection is kept. */
  readonly keepAliveMs: number;
  /** Of connecting alone. Default: `timeoutMs`. */
  readonly connectTimeoutMs?: number;
  readonly clock: Clock;
}

/** Sends bodies to one URL. Connects when there is something to send. */
export class HttpSender {
  readonly #options: HttpSenderOptions;
  readonly #url: URL;
  readonly #headers: Record<string, string>;
  #agent: Agent | undefined;

  constructor(options: HttpSenderOptions) {
    this.#options = options;
    const url = new URL(options.url);
    this.#headers = { ...options.headers };
    if (url.username !== "" || url.password !== "") {
      const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
      this.#headers["Authorization"] =
        `Basic ${Buffer.from(user, "utf8").toString("base64")}`;
      url.username = "";
      url.password = "";
    }
    this.#url = url;
  }

  /** Rejects when the server does not answer in time, or not with a status below 300. */
  async send(body: string | Uint8Array, signal: AbortSignal): Promise<void> {
    const { method, timeoutMs, clock } = this.#options;
    const given = new AbortController();
    // Not AbortSignal.any: something of each would stay with the queue's signal for as long as there is a queue.
    const onEnded = (): void => {
      given.abort(signal.reason);
    };
    if (signal.aborted) onEnded();
    else signal.addEventListener("abort", onEnded, { once: true });
    const timer = clock.setTimer(timeoutMs, () => {
      given.abort(
        new Error(`${this.#url.origin} did not answer within ${timeoutMs} ms`),
      );
    });
    try {
      const answer = await request(this.#url, {
        method: method as "POST",
        headers: this.#headers,
        body,
        dispatcher: this.#dispatcher(),
        signal: given.signal,
      });
      await answer.body.dump({ limit: MAX_ANSWER_BYTES });
      if (answer.statusCode >= 300)
        throw new Error(
          `${this.#url.origin} answered ${answer.statusCode} instead of taking it`,
        );
    } finally {
      timer.cancel();
      signal.removeEventListener("abort", onEnded);
    }
  }

  async close(): Promise<void> {
    await this.#agent?.destroy();
  }

  #dispatcher(): Agent {
    const { keepAliveMs, timeoutMs, connectTimeoutMs } = this.#options;
    this.#agent ??= new Agent({
      // 0 would be the default.
      keepAliveTimeout: Math.max(1, keepAliveMs),
      keepAliveMaxTimeout: Math.max(1, keepAliveMs),
      connect: { timeout: connectTimeoutMs ?? timeoutMs },
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    return this.#agent;
  }
}

const MAX_ANSWER_BYTES = 1024 * 1024;
