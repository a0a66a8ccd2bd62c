import { cwd } from "node:process";
import { findPluginModule } from "../dp/plugins/modules/find-module.ts";
import { PluginModuleError } from "../dp/plugins/modules/plugin-module-error.ts";
import type { PluginModule } from "../dp/plugins/modules/load-plugins.ts";
import { list } from "./flags.ts";
import { UsageError } from "./io.ts";
import { text } from "./value-types.ts";

/** Which plugins a data plane has beside its own. */
export const pluginFlags = {
  plugin: list(text("NAME"), {
    summary:
      "An npm package with a plugin, installed in the working directory or above it, or the path of a module. Its code runs in the data plane.",
  }),
};

/** What {@link pluginFlags} say, as a gateway takes it. */
export function pluginSettings(given: { readonly plugin: readonly string[] }): {
  readonly pluginModules?: readonly PluginModule[];
} {
  if (given.plugin.length === 0) return {};
  const directory = cwd();
  try {
    return {
      pluginModules: given.plugin.map((name) => ({
        name,
        url: findPluginModule(name, directory),
      })),
    };
  } catch (error) {
    if (error instanceof PluginModuleError)
      throw new UsageError([error.message]);
    throw error;
  }
}
