import { BotDetectionConfigSchema } from "../../gen/holdfast/plugin/v1/bot_detection_pb.js";
import type { Problem } from "../problem.ts";
import { compileRegex } from "../regex.ts";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "bot-detection". */
export const botDetectionModel = definePluginModel({
  name: "bot-detection",
  version: 1,
  schema: BotDetectionConfigSchema,
  perConsumer: false,
  problems: ({ allow, deny }) => [
    ...regexProblems("allow", allow),
    ...regexProblems("deny", deny),
  ],
});

function regexProblems(field: string, sources: readonly string[]): Problem[] {
  return sources.flatMap((source, i) => {
    const compiled = compileRegex(source);
    return compiled.ok
      ? []
      : [{ field: `${field}[${i}]`, reason: compiled.reason }];
  });
}
