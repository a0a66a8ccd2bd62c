import { KeyAuthConfigSchema } from "../../gen/holdfast/plugin/v1/plugins_pb.js";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "key-auth". */
export const keyAuthModel = definePluginModel({
  name: "key-auth",
  version: 1,
  schema: KeyAuthConfigSchema,
  perConsumer: false,
});
