import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { NackClass } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { nackClassName } from "../../sync/names.ts";
import type { NodeFigures } from "./node-registry.ts";

/** What is read when metrics are asked for. */
export interface DistributorFigures {
  readonly head: Cursor;
  readonly sessions: number;
  readonly nodes: NodeFigures;
  readonly undrainedBytes: number;
  readonly pinnedStates: number;
}

/** The words of `Node.conditions`, so that each has a series from the start. */
const CONDITIONS = [
  "forked",
  "held",
  "quarantined",
  "refused",
  "regressed",
  "degraded",
  "lacking",
];

/** The control plane's metrics of its nodes. */
export class DistributorMetrics {
  readonly #messages: Counter<"direction" | "type">;
  readonly #messageCounters = new Map<string, { inc(): void }>();
  readonly #bytes: Counter<"type">;
  readonly #nacks: Counter<"class">;
  readonly #applies: Histogram;
  readonly #alarms: Counter;

  constructor(registry: Registry, read: () => DistributorFigures) {
    const registers = [registry];
    this.#messages = new Counter({
      name: "holdfast_cp_sync_messages_total",
      help: "Messages of the sync protocol, by direction and type.",
      labelNames: ["direction", "type"],
      registers,
    });
    this.#bytes = new Counter({
      name: "holdfast_cp_sync_sent_bytes_total",
      help: "Bytes of manifests, deltas and buckets sent.",
      labelNames: ["type"],
      registers,
    });
    this.#nacks = new Counter({
      name: "holdfast_cp_nacks_total",
      help: "States that nodes did not apply, by class.",
      labelNames: ["class"],
      registers,
    });
    this.#applies = new Histogram({
      name: "holdfast_cp_apply_seconds",
      help: "From sending a state to a node to its acknowledgement.",
      buckets: [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
        30, 60,
      ],
      registers,
    });
    gauge("holdfast_cp_head_revision", "The newest revision.", () =>
      Number(read().head.revision),
    );
    gauge(
      "holdfast_cp_nodes_connected",
      "Nodes with a stream.",
      () => read().sessions,
    );
    gauge(
      "holdfast_cp_nodes_known",
      "Nodes that are not forgotten.",
      () => read().nodes.known,
    );
    gauge(
      "holdfast_cp_nodes_in_sync",
      "Connected nodes that serve the newest revision.",
      () => read().nodes.inSync,
    );
    gauge(
      "holdfast_cp_nodes_missing_features",
      "Connected nodes that lack a feature the newest revision needs.",
      () => read().nodes.lacking,
    );
    gauge(
      "holdfast_cp_sync_undrained_bytes",
      "Bytes of frames handed to streams that have not drained.",
      () => read().undrainedBytes,
    );

    gauge(
      "holdfast_cp_sync_pinned_states",
      "States kept for nodes that pull them.",
      () => read().pinnedStates,
    );
    new Gauge({
      name: "holdfast_cp_nodes_condition",
      help: "Nodes that somebody should know something of, by what.",
      labelNames: ["condition"],
      registers,
      collect() {
        const { conditions } = read().nodes;
        for (const condition of CONDITIONS)
          this.set({ condition }, conditions.get(condition) ?? 0);
      },
    });
    gauge(
      "holdfast_cp_nodes_certificate_expires_timestamp_seconds",
      "When the first of the connected nodes' certificates expires; 0 without TLS.",
      () => read().nodes.firstExpiryMs / 1000,
    );
    this.#alarms = new Counter({
      name: "holdfast_cp_node_alarms_total",
      help: "Times that somebody should have looked at a node.",
      registers,
    });

    function gauge(name: string, help: string, value: () => number): void {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    }
  }

  counted(direction: "in" | "out", type: string, bytes: number): void {
    this.#counterOf(direction, type).inc();
    if (bytes > 0) this.#bytes.inc({ type }, bytes);
  }

  /** Looking labels up costs as much as counting: there are few, and a message of each kind with every change. */
  #counterOf(direction: "in" | "out", type: string): { inc(): void } {
    const key = `${direction} ${type}`;
    let counter = this.#messageCounters.get(key);
    if (counter === undefined) {
      counter = this.#messages.labels({ direction, type });
      this.#messageCounters.set(key, counter);
    }
    return counter;
  }

  alarmed(): void {
    this.#alarms.inc();
  }

  nacked(nackClass: NackClass): void {
    this.#nacks.inc({ class: nackClassName(nackClass) });
  }

  acked(roundTripMs: number | undefined): void {
    if (roundTripMs !== undefined) this.#applies.observe(roundTripMs / 1000);
  }
}
