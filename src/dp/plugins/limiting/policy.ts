import type { RedisConfig } from "../../../gen/holdfast/plugin/v1/redis_pb.js";
import type { Answer, PluginEnvironment } from "../plugin.ts";
import { redisClientsOf } from "../redis/redis-clients.ts";
import { RedisUsage } from "./redis-usage.ts";
import { SyncedUsage } from "./synced-usage.ts";
import { LocalUsage, type UsageStore } from "./usage.ts";

/** How a plugin counts. */
export interface UsageConfig {
  readonly policy?: string | undefined;
  readonly redis?: RedisConfig | undefined;
  /** Seconds between two exchanges with Redis; -1, or absent: every request asks. */
  readonly syncRate?: number | undefined;
  readonly faultTolerant?: boolean | undefined;
}

/** Where a plugin counts, and what becomes of requests when it cannot. */
export interface CountedUsage {
  readonly store: UsageStore;
  /** The answer to a request that could not be counted; undefined to let it pass. */
  readonly onFailure: (error: unknown) => Answer | undefined;
  /** Present when there is something to let go of. */
  readonly close?: () => Promise<void>;
}

/**
 * Where a plugin with this configuration counts.
 *
 * @param owner Names the configured plugin.
 */
export function usageOf(
  config: UsageConfig,
  environment: PluginEnvironment,
  owner: string,
): CountedUsage {
  const onFailure = (): Answer | undefined =>
    // Redis says itself, once, that it is away: there would be a line for every request here.
    config.faultTolerant === false
      ? { status: 500, message: "An unexpected error occurred" }
      : undefined;
  const { policy, redis, syncRate = -1 } = config;
  if (policy !== "redis" || redis === undefined)
    return { store: new LocalUsage(environment.counters, owner), onFailure };
  const lease = redisClientsOf(environment).lease(redis);
  const remote = new RedisUsage(lease.client);
  if (syncRate < 0)
    return { store: remote, onFailure, close: () => lease.release() };
  const synced = new SyncedUsage(remote, {
    clock: environment.clock,
    everyMs: syncRate * 1000,
  });
  return {
    store: synced,
    onFailure,
    close: async () => {
      await synced.close();
      await lease.release();
    },
  };
}
