import { CorrelationIdConfigSchema } from "../../gen/holdfast/plugin/v1/plugins_pb.js";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "correlation-id". */
export const correlationIdModel = definePluginModel({
  name: "correlation-id",
  version: 1,
  schema: CorrelationIdConfigSchema,
  perConsumer: true,
});
