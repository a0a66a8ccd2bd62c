import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { AgentPool } from "./proxy/agents.ts";
import type { Runtime } from "./runtime.ts";

/** Seconds; a proxy's answers are mostly quick, and a slow one ends with a timeout of a minute. */
const BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What the gateway tells of itself in numbers. */
export class GatewayMetrics {
  readonly #requests: Counter<"status">;
  readonly #duration: Histogram;

  /** @param served Reads what is served at the moment. */
  constructor(
    registry: Registry,
    agents: AgentPool,
    served: () => Runtime | undefined,
  ) {
    const registers = [registry];
    this.#requests = new Counter({
      name: "holdfast_requests_total",
      help: "Requests that were proxied or answered by the gateway, by the class of their status.",
      labelNames: ["status"],
      registers,
    });
    this.#duration = new Histogram({
      name: "holdfast_request_duration_seconds",
      help: "From a request's first line to the end of its answer.",
      buckets: BUCKETS,
      registers,
    });
    new Gauge({
      name: "holdfast_upstream_connections",
      help: "Connections to upstreams: busy with a request, or idle.",
      labelNames: ["state"],
      registers,
      collect() {
        const busy = agents.busyConnections();
        this.set({ state: "busy" }, busy);
        this.set({ state: "idle" }, agents.openConnections() - busy);
      },
    });
    new Gauge({
      name: "holdfast_served_routes",
      help: "Routes of the revision that is served.",
      registers,
      collect() {
        this.set(served()?.counts.routes ?? 0);
      },
    });
    new Gauge({
      name: "holdfast_degraded_entries",
      help: "Entries of the served revision that are not served as they are meant.",
      registers,
      collect() {
        this.set(served()?.degraded.length ?? 0);
      },
    });
  }

  /** Counts one request. */
  add(status: number, durationMs: number): void {
    this.#requests.inc({ status: `${Math.floor(status / 100)}xx` });
    this.#duration.observe(durationMs / 1000);
  }
}
