import { PrometheusConfigSchema } from "../../gen/holdfast/plugin/v1/prometheus_pb.js";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "prometheus". */
export const prometheusModel = definePluginModel({
  name: "prometheus",
  version: 1,
  schema: PrometheusConfigSchema,
  perConsumer: true,
});
