import {
  RateLimitingConfigSchema,
  type RateLimitingConfig,
} from "../../../gen/holdfast/plugin/v1/rate_limiting_pb.js";
import { ContextKey } from "../context.ts";
import { usageOf } from "../limiting/policy.ts";
import { subjectOf } from "../limiting/subject.ts";
import type { Usage } from "../limiting/usage.ts";
import { limitsOf, spanOf } from "../limiting/windows.ts";
import {
  definePlugin,
  type Answer,
  type Exchange,
  type PluginEnvironment,
  type PluginHandlers,
  type PluginPlace,
} from "../plugin.ts";
import { rateHeaders, type RateHeaders } from "./rate-headers.ts";

/** "rate-limiting": a client may send so many requests in a second, a minute and so on. */
export const rateLimiting = definePlugin({
  name: "rate-limiting",
  version: 1,
  priority: 910,
  schema: RateLimitingConfigSchema,
  create,
});

/** What an answer tells of its limits. */
const TOLD = new ContextKey<RateHeaders>("rate-limiting");

function create(
  config: RateLimitingConfig,
  environment: PluginEnvironment,
  key: string,
  { consumerGroup }: PluginPlace,
): PluginHandlers {
  const { clock } = environment;
  const limits = limitsOf(config);
  const headerName = config.headerName.toLowerCase();
  const by = { ...config, headerName, consumerGroup };
  const { store, onFailure, close } = usageOf(config, environment, key);

  const access = async (exchange: Exchange): Promise<Answer | undefined> => {
    const nowMs = clock.now();
    const subject = subjectOf(by, exchange);
    const windows = limits.map((limit) => ({
      ...limit,
      span: spanOf(limit.window, nowMs),
    }));
    let usage: Usage;
    try {
      usage = await store.take(
        windows.map(({ window, limit, span }) => ({
          key: `${key}:${window}:${span.startMs}:${subject}`,
          by: 1,
          limit,
          expiresMs: span.endMs,
        })),
      );
    } catch (error) {
      return onFailure(error);
    }
    const { headers, retryAfter } = rateHeaders(windows, usage, nowMs);
    const told = config.hideClientHeaders ? {} : headers;
    if (usage.taken) {
      exchange.context.set(TOLD, told);
      return undefined;
    }
    return {
      status: config.errorCode ?? 429,
      headers: { ...told, "Retry-After": String(retryAfter) },
      message: config.errorMessage ?? "API rate limit exceeded",
    };
  };

  return {
    access,
    headerFilter: ({ context }, { headers }) => {
      for (const [name, value] of Object.entries(context.get(TOLD) ?? {}))
        headers.set(name, value);
    },
    ...(close === undefined ? {} : { close }),
  };
}
