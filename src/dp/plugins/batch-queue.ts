import { setMaxListeners } from "node:events";
import type { Registry } from "prom-client";
import { Counter } from "prom-client";
import type { Queue } from "../../gen/holdfast/plugin/v1/queue_pb.js";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";

/** How entries are gathered and sent. */
export interface BatchSettings {
  readonly maxBatchSize: number;
  readonly maxDelayMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly maxRetryMs: number;
  readonly firstRetryDelayMs: number;
  readonly maxRetryDelayMs: number;
  /** Batches that are sent at a time. */
  readonly concurrency: number;
}

/** What a queue works with. */
export interface BatchTools<T> {
  /** Of the plugin, for people. */
  readonly plugin: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Registry | undefined;
  /** Sends a batch; rejects when it has not arrived. */
  readonly send: (batch: readonly T[], signal: AbortSignal) => Promise<void>;
}

/** The settings that a plugin's configuration has, with the values of older names where they are not the defaults. */
export function batchSettings(
  queue: Queue | undefined,
  defaults: { readonly maxBatchSize: number },
  older: {
    readonly maxBatchSize?: number | undefined;
    readonly maxDelay?: number | undefined;
  },
): BatchSettings {
  return {
    maxBatchSize:
      older.maxBatchSize ?? queue?.maxBatchSize ?? defaults.maxBatchSize,
    maxDelayMs: (older.maxDelay ?? queue?.maxCoalescingDelay ?? 1) * 1000,
    maxEntries: queue?.maxEntries ?? 10_000,
    maxBytes: Math.min(queue?.maxBytes ?? Infinity, MAX_BYTES),
    maxRetryMs: (queue?.maxRetryTime ?? 60) * 1000,
    firstRetryDelayMs: (queue?.initialRetryDelay ?? 0.01) * 1000,
    maxRetryDelayMs: (queue?.maxRetryDelay ?? 60) * 1000,
    concurrency: queue?.concurrencyLimit === -1 ? MAX_CONCURRENCY : 1,
  };
}

/** What waits takes no more than this, whatever is configured. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_CONCURRENCY = 64;
/** How long what waits may take to leave when the plugin is closed. */
const CLOSE_MS = 3_000;

/** Gathers entries and sends them in batches; drops the oldest when there are too many, and counts those. */
export class BatchQueue<T> {
  readonly #settings: BatchSettings;
  readonly #tools: BatchTools<T>;
  readonly #dropped: Counter<"plugin"> | undefined;
  readonly #ending = new AbortController();
  #waiting: { readonly entry: T; readonly bytes: number }[] = [];
  #bytes = 0;
  #sending = 0;
  #timer: Timer | undefined;
  #due = false;
  #failing = false;
  #onIdle: (() => void) | undefined;

  constructor(settings: BatchSettings, tools: BatchTools<T>) {
    this.#settings = settings;
    this.#tools = tools;
    // Each batch that is being sent listens.
    setMaxListeners(0, this.#ending.signal);
    this.#dropped = droppedCounter(tools.metrics);
  }

  /** Never waits and never throws. */
  add(entry: T, bytes: number): void {
    const { maxEntries, maxBytes } = this.#settings;
    this.#waiting.push({ entry, bytes });
    this.#bytes += bytes;
    let dropped = 0;
    while (this.#waiting.length > maxEntries || this.#bytes > maxBytes) {
      const oldest = this.#waiting.shift();
      if (oldest === undefined) break;
      this.#bytes -= oldest.bytes;
      dropped++;
    }
    if (dropped > 0) this.#drop(dropped, "the queue is full");
    this.#look();
  }

  /** Sends what waits, for some seconds; the rest is dropped. */
  async close(): Promise<void> {
    this.#due = true;
    const { clock } = this.#tools;
    const deadline = clock.setTimer(CLOSE_MS, () => {
      this.#ending.abort();
    });
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    this.#look();
    await idle;
    deadline.cancel();
    this.#timer?.cancel();
    this.#ending.abort();
  }

  #look(): void {
    const { maxBatchSize, maxDelayMs, concurrency } = this.#settings;
    while (
      this.#sending < concurrency &&
      this.#waiting.length > 0 &&
      (this.#due || this.#waiting.length >= maxBatchSize)
    ) {
      const batch = this.#waiting.splice(0, maxBatchSize);
      for (const { bytes } of batch) this.#bytes -= bytes;
      this.#sending++;
      void this.#send(batch.map(({ entry }) => entry)).finally(() => {
        this.#sending--;
        this.#look();
      });
    }
    if (this.#waiting.length === 0) {
      // What comes after a flush waits for others again, unless this is the end.
      if (this.#onIdle === undefined) this.#due = false;
      else if (this.#sending === 0) this.#onIdle();
      return;
    }
    if (this.#due || this.#timer !== undefined) return;
    this.#timer = this.#tools.clock.setTimer(maxDelayMs, () => {
      this.#timer = undefined;
      this.#due = true;
      this.#look();
    });
  }

  /** Never rejects. */
  async #send(batch: readonly T[]): Promise<void> {
    const { clock, send, logger, plugin } = this.#tools;
    const { maxRetryMs, firstRetryDelayMs, maxRetryDelayMs } = this.#settings;
    const { signal } = this.#ending;
    const startedMs = clock.monotonic();
    for (let delayMs = firstRetryDelayMs; ; delayMs *= 2) {
      try {
        // The OpenTelemetry SDK, for one, does not hear of the signal.
        await unlessAborted(send(batch, signal), signal);
        if (this.#failing) logger.info("plugin.sends-again", { plugin });
        this.#failing = false;
        return;
      } catch (error) {
        const waitMs = Math.min(delayMs, maxRetryDelayMs);
        const spentMs = clock.monotonic() - startedMs;
        if (!this.#failing)
          logger.warn("plugin.send-failed", { plugin, err: error });
        this.#failing = true;
        if (signal.aborted || spentMs + waitMs > maxRetryMs) {
          this.#drop(batch.length, "they could not be sent");
          return;
        }
        // Ends early when the plugin is closed for good.
        await clock.sleep(waitMs, signal).catch(() => undefined);
      }
    }
  }

  #drop(count: number, reason: string): void {
    const { plugin, logger } = this.#tools;
    this.#dropped?.inc({ plugin }, count);
    logger.warn("plugin.entries-dropped", { plugin, count, reason });
  }
}

/** What a promise comes to; rejects when the signal is aborted before. */
async function unlessAborted(
  promise: Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let abort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort);
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    if (abort !== undefined) signal.removeEventListener("abort", abort);
  }
}

/** One for all plugins of a process. */
function droppedCounter(
  registry: Registry | undefined,
): Counter<"plugin"> | undefined {
  if (registry === undefined) return undefined;
  const known = registry.getSingleMetric(DROPPED);
  return known instanceof Counter
    ? known
    : new Counter({
        name: DROPPED,
        help: "Entries of log and trace plugins that were never sent.",
        labelNames: ["plugin"],
        registers: [registry],
      });
}

const DROPPED = "holdfast_plugin_entries_dropped_total";
