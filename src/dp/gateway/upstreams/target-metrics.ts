import { Gauge, type Registry } from "prom-client";
import type { AddressView } from "./view.ts";

/** Addresses that have a number of their own, at most: those that somebody should look at first. */
const MAX_SERIES = 4096;

/** Shows the state of every address of every upstream. */
export function measureTargets(
  registry: Registry,
  read: () => readonly AddressView[],
): void {
  new Gauge({
    name: "holdfast_upstream_target_health",
    help: `1 for the state that an address of an upstream is in: healthy, unhealthy, dns_error or healthchecks_off. Of more than ${MAX_SERIES}, the healthy ones are left out first.`,
    labelNames: ["upstream", "target", "address", "state"],
    // Workers share what they know: one of them speaks for all.
    aggregator: "max",
    registers: [registry],
    collect() {
      this.reset();
      for (const view of read().slice(0, MAX_SERIES)) {
        const { upstream, target, address, health } = view;
        const state = health.toLowerCase();
        this.set({ upstream, target, address, state }, 1);
      }
    },
  });
}
