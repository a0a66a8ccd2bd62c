import type { PluginInstance } from "../plugin-chains.ts";
import type { Linker } from "./linker.ts";

/** Plugins only have to have what they are scoped to. */
export const pluginLinker: Linker<"plugin"> = {
  link({ instance, scope, missing }, at) {
    for (const kind of ["route", "service", "consumer"] as const) {
      const id = scope[kind];
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
}: PluginInstance["scope"]): string {
  const parts = [
    ...(route === undefined ? [] : [`of route ${route}`]),
    ...(service === undefined ? [] : [`to service ${service}`]),
    ...(consumer === undefined ? [] : [`from consumer ${consumer}`]),
  ];
  return parts.length === 0 ? "all requests" : `requests ${parts.join(" ")}`;
}
