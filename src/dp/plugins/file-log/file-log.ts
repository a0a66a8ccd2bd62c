import { FileLogConfigSchema } from "../../../gen/holdfast/plugin/v1/file_log_pb.js";
import { logFields } from "../../gateway/log-entry.ts";
import { definePlugin } from "../plugin.ts";
import { LineFile } from "./line-file.ts";

/** "file-log": what became of each request is written to a file, one line of JSON each. */
export const fileLog = definePlugin({
  name: "file-log",
  version: 1,
  priority: 9,
  schema: FileLogConfigSchema,
  create: (config, environment) => {
    const file = new LineFile(config.path, config.reopen ?? false, environment);
    return {
      log: (_exchange, entry) => {
        file.write(JSON.stringify(logFields(entry)));
      },
      close: () => file.close(),
    };
  },
});
