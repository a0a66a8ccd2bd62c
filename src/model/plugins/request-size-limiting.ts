import { RequestSizeLimitingConfigSchema } from "../../gen/holdfast/plugin/v1/request_size_limiting_pb.js";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "request-size-limiting". */
export const requestSizeLimitingModel = definePluginModel({
  name: "request-size-limiting",
  version: 1,
  schema: RequestSizeLimitingConfigSchema,
  perConsumer: true,
});
