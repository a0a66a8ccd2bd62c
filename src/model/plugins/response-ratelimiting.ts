import { ResponseRatelimitingConfigSchema } from "../../gen/holdfast/plugin/v1/response_ratelimiting_pb.js";
import { definePluginModel } from "./known-plugin.ts";
import { moveRedisFields, policyProblems, redisProblems } from "./redis.ts";
import { windowProblems } from "./windows.ts";

/** The configuration of "response-ratelimiting". */
export const responseRatelimitingModel = definePluginModel({
  name: "response-ratelimiting",
  version: 1,
  schema: ResponseRatelimitingConfigSchema,
  perConsumer: true,
  normalise: (config) => {
    moveRedisFields(ResponseRatelimitingConfigSchema, config);
  },
  problems: (config) => [
    ...Object.entries(config.limits).flatMap(([name, limits]) =>
      windowProblems(limits, `limits[${JSON.stringify(name)}]`),
    ),
    ...policyProblems(config.policy),
    ...redisProblems(ResponseRatelimitingConfigSchema, config),
  ],
});
