import { Gauge, type Registry } from "prom-client";
import {
  addressViews,
  type UpstreamView,
} from "../../gateway/upstreams/view.ts";

/** The name of Kong's metric. */
const NAME = "kong_upstream_target_health";
const STATES = [
  "healthy",
  "unhealthy",
  "dns_error",
  "healthchecks_off",
] as const;
/** Addresses that are told of, at most; those that are not healthy first. */
const MAX_ADDRESSES = 2_000;

const watchers = new WeakMap<Registry, number>();

/**
 * Tells the health of targets in a registry until the function that comes back is called. Plugins share one metric, which
 * is there as long as one of them wants it.
 */
export function tellTargetHealth(
  registry: Registry,
  upstreams: () => readonly UpstreamView[],
): () => void {
  const before = watchers.get(registry) ?? 0;
  watchers.set(registry, before + 1);
  if (before === 0)
    new Gauge({
      name: NAME,
      help: "The state of each address of an upstream's targets: 1 for the one that it has",
      labelNames: ["upstream", "target", "address", "state", "subsystem"],
      registers: [registry],
      // Every worker knows the same.
      aggregator: "max",
      collect() {
        this.reset();
        const views = addressViews(upstreams()).slice(0, MAX_ADDRESSES);
        for (const { upstream, target, address, health } of views)
          for (const state of STATES)
            this.set(
              { upstream, target, address, state, subsystem: "http" },
              health.toLowerCase() === state ? 1 : 0,
            );
      },
    });
  let told = true;
  return () => {
    if (!told) return;
    told = false;
    const left = (watchers.get(registry) ?? 1) - 1;
    watchers.set(registry, left);
    if (left === 0) registry.removeSingleMetric(NAME);
  };
}
