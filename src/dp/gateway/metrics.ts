import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { AgentPool } from "./proxy/agents.ts";
import type { Reason } from "./answers/reason.ts";
import type { Served } from "./serve.ts";
import type { Runtime } from "./runtime.ts";

/** Seconds; a proxy's answers are mostly quick, and a slow one ends with a timeout of a minute. */
const BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What the gateway tells of itself in numbers. */
export class GatewayMetrics {
  /** By reason, and there by source and class of status: see `slotOf`. */
  readonly #tallies = new Map<Reason, Float64Array>();
  readonly #duration: Histogram;

  /** @param served Reads what is served at the moment. */
  constructor(
    registry: Registry,
    agents: AgentPool,
    served: () => Runtime | undefined,
  ) {
    const registers = [registry];
    const tallies = this.#tallies;
    new Counter({
      name: "holdfast_requests_total",
      help: "Requests that were proxied or answered by the gateway, by the class of their status, by who made the answer, and by why the gateway did.",
      labelNames: ["status", "source", "reason"],
      registers,
      // Requests are counted apart: the registry's counters take as long as all else that is done for one.
      collect() {
        this.reset();
        for (const [reason, slots] of tallies)
          for (const [slot, count] of slots.entries())
            if (count > 0) this.inc({ ...labelsOf(slot), reason }, count);
      },
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
      // All workers serve the same.
      aggregator: "max",
      registers,
      collect() {
        this.set(served()?.counts.routes ?? 0);
      },
    });
    new Gauge({
      name: "holdfast_degraded_entries",
      help: "Entries of the served revision that are not served as they are meant.",
      aggregator: "max",
      registers,
      collect() {
        this.set(served()?.degraded.length ?? 0);
      },
    });
  }

  /** Counts what could not be read as a request. */
  addRefused(status: number): void {
    this.#count(status, "gateway", "unreadable");
  }

  /** Counts one request. */
  add({ status, source, reason, durationMs }: Served): void {
    this.#count(status, source, reason);
    this.#duration.observe(durationMs / 1000);
  }

  #count(status: number, source: Served["source"], reason: Reason): void {
    let slots = this.#tallies.get(reason);
    if (slots === undefined)
      this.#tallies.set(reason, (slots = new Float64Array(SLOTS)));
    const slot = slotOf(status, source);
    slots[slot] = (slots[slot] ?? 0) + 1;
  }
}

/** Classes of statuses, from 0xx, for each of the two sources. */
const CLASSES = 10;
const SLOTS = 2 * CLASSES;

function slotOf(status: number, source: Served["source"]): number {
  return Math.floor(status / 100) + (source === "upstream" ? CLASSES : 0);
}

function labelsOf(slot: number): {
  readonly status: string;
  readonly source: Served["source"];
} {
  return {
    status: `${slot % CLASSES}xx`,
    source: slot < CLASSES ? "gateway" : "upstream",
  };
}
