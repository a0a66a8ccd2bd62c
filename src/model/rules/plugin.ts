import type { Plugin } from "../../gen/holdfast/config/v1/plugin_pb.js";
import { knownPlugin, readPluginConfig } from "../plugins.ts";
import { show, type Problem } from "../problem.ts";

/** What is wrong with a plugin beyond the rules of its single fields. */
export function pluginProblems(plugin: Plugin): Problem[] {
  const known = knownPlugin(plugin.name);
  const read = readPluginConfig(plugin.name, plugin.config ?? {});
  return [
    ...(read.ok ? [] : read.violations),
    ...(known?.perConsumer === false && plugin.consumer !== undefined
      ? [
          {
            field: "consumer",
            reason: `the plugin ${show(plugin.name)} cannot be limited to a consumer`,
          },
        ]
      : []),
    ...(known?.perConsumer === false && plugin.consumerGroup !== undefined
      ? [
          {
            field: "consumer_group",
            reason: `the plugin ${show(plugin.name)} cannot be limited to a consumer group`,
          },
        ]
      : []),
  ];
}
