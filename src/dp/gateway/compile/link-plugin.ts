import type { PluginInstance } from "../plugin-chains.ts";
import type { Linker } from "./linker.ts";

/** Plugins only have to have what they are scoped to. */
export const pluginLinker: Linker<"plugin"> = {
  link({ instance, scope, missing }, at) {
    for (const [kind, id] of [
      ["route", scope.route],
      ["service", scope.service],
      ["consumer", scope.consumer],
      ["consumer_group", scope.consumerGroup],
    ] as const) {
      if (id !== undefined && !at.find.exists(kind, id))
        at.dangling(kind, kind, id);
    }
    if (at.context.onUnsupported === "refuse")
      for (const { name, version } of missing)
        at.refuse(
          "name",
          `this data plane does not have the feature "${name}" in version ${version}`,
          "UNSUPPORTED",
        );
    if (instance !== undefined && instance.handlers === undefined)
      at.note(
        "degraded",
        `this data plane does not have the plugin "${instance.name}": ${scopeText(scope)} answer 503`,
      );
    return instance;
  },
};

/** Which requests a scope has, for people. */
function scopeText({
  route,
  service,
  consumer,
  consumerGroup,
}: PluginInstance["scope"]): string {
  const parts = [
    ...(route === undefined ? [] : [`of route ${route}`]),
    ...(service === undefined ? [] : [`to service ${service}`]),
    ...(consumer === undefined ? [] : [`from consumer ${consumer}`]),
    ...(consumerGroup === undefined
      ? []
      : [`from consumers in group ${consumerGroup}`]),
  ];
  return parts.length === 0 ? "all requests" : `requests ${parts.join(" ")}`;
}
