import {
  PluginChains,
  type PluginInstance,
} from "../../src/dp/gateway/plugin-chains.ts";
import { runSlices } from "../../src/model/slices.ts";

/** Chains of these plugins. */
export function chainsOf(plugins: readonly PluginInstance[]): PluginChains {
  return runSlices(
    PluginChains.none.changed(
      plugins.map((after) => ({ before: undefined, after })),
    ),
  );
}
