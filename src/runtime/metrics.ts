import { collectDefaultMetrics, Gauge, Registry } from "prom-client";

/**
 * The registry of a process. Ours are called `holdfast_<what>_<unit>`; those of the process and of Node have the names
 * that every dashboard knows. Call it once a process: what Node's metrics listen to is never let go.
 */
export function createProcessRegistry(build: string, role: string): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: "holdfast_build_info",
    help: "Always 1. Which build this is, and what it does.",
    labelNames: ["build", "role"],
    registers: [registry],
  }).set({ build, role }, 1);
  return registry;
}
