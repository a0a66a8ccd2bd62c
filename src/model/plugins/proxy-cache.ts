import { ProxyCacheConfigSchema } from "../../gen/holdfast/plugin/v1/proxy_cache_pb.js";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "proxy-cache". */
export const proxyCacheModel = definePluginModel({
  name: "proxy-cache",
  version: 1,
  schema: ProxyCacheConfigSchema,
  perConsumer: true,
  problems: ({ strategy }) =>
    strategy === ""
      ? [{ field: "strategy", reason: 'is required: "memory"' }]
      : [],
});
