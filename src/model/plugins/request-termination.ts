import { RequestTerminationConfigSchema } from "../../gen/holdfast/plugin/v1/plugins_pb.js";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "request-termination". */
export const requestTerminationModel = definePluginModel({
  name: "request-termination",
  version: 1,
  schema: RequestTerminationConfigSchema,
  perConsumer: true,
});
