import { Gauge, type Registry } from "prom-client";
import type { Clock, Timer } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";

/** What a data plane does when no control plane has confirmed what it serves for too long. It serves traffic whatever this is. */
export type WhenStale = "serve" | "warn" | "unready";

export interface FreshnessOptions {
  /** From when on what is served is stale. Undefined: never. */
  readonly maxStaleMs: number | undefined;
  readonly whenStale: WhenStale;
  /** When it was last confirmed, before this process, by the wall clock. */
  readonly confirmedMs: number | undefined;
  /** Keeps that over restarts. Never rejects. */
  readonly store: (atMs: number) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Registry;
}

/** It is stored at most this often. */
const STORE_MS = 10_000;

/**
 * How long ago a control plane last said that what is served is its newest state. While the process runs that is measured
 * by the monotonic clock; over a restart only the wall clock knows. One that was set back then makes the age 0, never
 * less, and one that was set forward makes it that much more. What was never confirmed counts from this start on.
 */
export class Freshness {
  readonly #options: FreshnessOptions;
  #confirmedMs: number | undefined;
  /** The age at `#sinceMs`, by the monotonic clock. */
  #ageMs: number;
  #sinceMs: number;
  #storedMs = -Infinity;
  #isStale = false;
  #timer: Timer | undefined;

  constructor(options: FreshnessOptions) {
    this.#options = options;
    const { clock, confirmedMs, metrics } = options;
    this.#sinceMs = clock.monotonic();
    this.#confirmedMs = confirmedMs;
    this.#ageMs =
      confirmedMs === undefined ? 0 : Math.max(0, clock.now() - confirmedMs);
    const age = (): number => this.ageMs;
    const isStale = (): boolean => this.isStale;
    new Gauge({
      name: "holdfast_dp_config_confirmed_age_seconds",
      help: "Time since a control plane last confirmed that the configuration served is its newest; since the start if none ever has.",
      registers: [metrics],
      collect() {
        this.set(age() / 1000);
      },
    });
    new Gauge({
      name: "holdfast_dp_config_stale",
      help: "Whether that is longer than --max-stale.",
      registers: [metrics],
      collect() {
        this.set(isStale() ? 1 : 0);
      },
    });
    this.#look();
  }

  /** Time since the last confirmation. */
  get ageMs(): number {
    return this.#ageMs + (this.#options.clock.monotonic() - this.#sinceMs);
  }

  /** When that was, by the wall clock; undefined when there was none. */
  get confirmedMs(): number | undefined {
    return this.#confirmedMs;
  }

  get isStale(): boolean {
    const { maxStaleMs } = this.#options;
    return maxStaleMs !== undefined && this.ageMs > maxStaleMs;
  }

  /** Why the node should not be sent traffic, if it should not. */
  get notReady(): string | undefined {
    const { maxStaleMs, whenStale } = this.#options;
    return whenStale === "unready" && this.isStale && maxStaleMs !== undefined
      ? `no control plane has confirmed the configuration for ${Math.floor(this.ageMs / 1000)} s, allowed are ${maxStaleMs / 1000} s (--max-stale); traffic is still served`
      : undefined;
  }

  /** A control plane says that what is served is its newest state. */
  confirm(): void {
    const { clock, store } = this.#options;
    const nowMs = clock.now();
    this.#set(nowMs, 0);
    if (this.#sinceMs - this.#storedMs < STORE_MS) return;
    this.#storedMs = this.#sinceMs;
    void store(nowMs);
  }

  /** What is served was some control plane's newest state at this time, by the wall clock. */
  assume(atMs: number): void {
    this.#set(atMs, Math.max(0, this.#options.clock.now() - atMs));
    void this.#options.store(atMs);
  }

  /** Stops looking, and keeps the last confirmation exactly. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    if (this.#confirmedMs !== undefined && this.#storedMs !== -Infinity)
      await this.#options.store(this.#confirmedMs);
  }

  #set(confirmedMs: number, ageMs: number): void {
    this.#confirmedMs = confirmedMs;
    this.#ageMs = ageMs;
    this.#sinceMs = this.#options.clock.monotonic();
    if (this.#isStale) this.#look();
  }

  /** Says once when it becomes stale, and once when it no longer is. */
  #look(): void {
    const { clock, logger, maxStaleMs, whenStale } = this.#options;
    if (maxStaleMs === undefined) return;
    const wasStale = this.#isStale;
    this.#isStale = this.isStale;
    if (whenStale !== "serve" && this.#isStale !== wasStale) {
      const line = {
        confirmed_at: isoTime(this.#confirmedMs),
        age_seconds: Math.round(this.ageMs / 1000),
        max_stale_seconds: maxStaleMs / 1000,
      };
      if (this.#isStale)
        logger.warn("config.stale", {
          ...line,
          consequence:
            whenStale === "unready"
              ? "traffic is still served; /status/ready answers 503"
              : "traffic is still served",
        });
      else logger.info("config.confirmed_again", line);
    }
    this.#timer?.cancel();
    // While it is stale, the next confirmation is what to wait for.
    this.#timer = this.#isStale
      ? undefined
      : clock.setTimer(maxStaleMs - this.ageMs + 1, () => {
          this.#look();
        });
  }
}

/** A time for people; null when there is none. */
export function isoTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
