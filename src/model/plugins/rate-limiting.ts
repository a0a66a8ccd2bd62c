import {
  RateLimitingConfigSchema,
  type RateLimitingConfig,
} from "../../gen/holdfast/plugin/v1/rate_limiting_pb.js";
import { show, type Problem } from "../problem.ts";
import { definePluginModel } from "./known-plugin.ts";
import { moveRedisFields, policyProblems, redisProblems } from "./redis.ts";
import { windowProblems } from "./windows.ts";

/** The most often that counts are exchanged with Redis when not every request asks. */
const MIN_SYNC_SECONDS = 0.02;

/** The configuration of "rate-limiting". */
export const rateLimitingModel = definePluginModel({
  name: "rate-limiting",
  version: 1,
  schema: RateLimitingConfigSchema,
  perConsumer: true,
  normalise: (config) => {
    moveRedisFields(RateLimitingConfigSchema, config);
  },
  problems: (config) => [
    ...windowProblems(config, ""),
    ...limitByProblems(config),
    ...policyProblems(config.policy),
    ...redisProblems(RateLimitingConfigSchema, config),
    ...syncRateProblems(config.syncRate),
  ],
});

function limitByProblems(config: RateLimitingConfig): Problem[] {
  const { limitBy, headerName, path } = config;
  if (limitBy === "header" && headerName === "")
    return [
      { field: "header_name", reason: 'is required with limit_by "header"' },
    ];
  if (limitBy === "path" && path === "")
    return [{ field: "path", reason: 'is required with limit_by "path"' }];
  return [];
}

function syncRateProblems(rate: number | undefined): Problem[] {
  if (rate === undefined || rate === -1 || rate >= MIN_SYNC_SECONDS) return [];
  return [
    {
      field: "sync_rate",
      reason: `must be -1 or at least ${MIN_SYNC_SECONDS}, got ${show(rate)}`,
    },
  ];
}
