import { FileLogConfigSchema } from "../../gen/holdfast/plugin/v1/file_log_pb.js";
import { definePluginModel } from "./known-plugin.ts";
import { luaProblems } from "./no-lua.ts";

/** The configuration of "file-log". */
export const fileLogModel = definePluginModel({
  name: "file-log",
  version: 1,
  schema: FileLogConfigSchema,
  perConsumer: true,
  problems: ({ customFieldsByLua }) => luaProblems(customFieldsByLua),
});
