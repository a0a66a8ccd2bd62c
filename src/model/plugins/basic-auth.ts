import { BasicAuthConfigSchema } from "../../gen/holdfast/plugin/v1/basic_auth_pb.js";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "basic-auth". */
export const basicAuthModel = definePluginModel({
  name: "basic-auth",
  version: 1,
  schema: BasicAuthConfigSchema,
  perConsumer: false,
});
