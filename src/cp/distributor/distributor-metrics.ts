import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { NackClass } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { nackClassName } from "../../sync/names.ts";
import type { NodeFigures } from "./node-census.ts";

/** What metrics tell of one workspace. */
export interface WorkspaceFigures {
  readonly head: Cursor;
  readonly sessions: number;
  readonly nodes: NodeFigures;
  readonly pinnedStates: number;
}

/** What is read when metrics are asked for. */
export interface DistributorFigures {
  /** Of each workspace that is served, by its name. */
  readonly workspaces: ReadonlyMap<string, WorkspaceFigures>;
  /** Names of workspaces that are not, though they are there. */
  readonly unavailable: readonly string[];
  readonly undrainedBytes: number;
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
  "pinned",
  "paused",
];

/** The control plane's metrics of its nodes: by workspace, but for what all of them share. */
export class DistributorMetrics {
  readonly #messages: Counter<"direction" | "type">;
  readonly #messageCounters = new Map<string, { inc(): void }>();
  readonly #bytes: Counter<"type">;
  readonly #nacks: Counter<"workspace" | "class">;
  readonly #applies: Histogram;
  readonly #alarms: Counter<"workspace">;

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
      labelNames: ["workspace", "class"],
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
    gauge("holdfast_cp_head_revision", "The newest revision.", ({ head }) =>
      Number(head.revision),
    );
    gauge(
      "holdfast_cp_nodes_connected",
      "Nodes with a stream.",
      ({ sessions }) => sessions,
    );
    gauge(
      "holdfast_cp_nodes_known",
      "Nodes that are not forgotten.",
      ({ nodes }) => nodes.known,
    );
    gauge(
      "holdfast_cp_nodes_in_sync",
      "Connected nodes that serve the newest revision.",
      ({ nodes }) => nodes.inSync,
    );
    gauge(
      "holdfast_cp_nodes_missing_features",
      "Connected nodes that lack a feature the newest revision needs.",
      ({ nodes }) => nodes.lacking,
    );
    gauge(
      "holdfast_cp_sync_pinned_states",
      "States kept for nodes that pull them.",
      ({ pinnedStates }) => pinnedStates,
    );
    gauge(
      "holdfast_cp_nodes_certificate_expires_timestamp_seconds",
      "When the first of the connected nodes' certificates expires; 0 without TLS.",
      ({ nodes }) => nodes.firstExpiryMs / 1000,
    );
    new Gauge({
      name: "holdfast_cp_nodes_condition",
      help: "Nodes that somebody should know something of, by what.",
      labelNames: ["workspace", "condition"],
      registers,
      collect() {
        this.reset();
        for (const [workspace, { nodes }] of read().workspaces)
          for (const condition of CONDITIONS)
            this.set(
              { workspace, condition },
              nodes.conditions.get(condition) ?? 0,
            );
      },
    });
    new Gauge({
      name: "holdfast_cp_workspace_available",
      help: "Whether a workspace is served: 0 when its history could not be proved at the start.",
      labelNames: ["workspace"],
      registers,
      collect() {
        this.reset();
        const { workspaces, unavailable } = read();
        for (const workspace of workspaces.keys()) this.set({ workspace }, 1);
        for (const workspace of unavailable) this.set({ workspace }, 0);
      },
    });
    new Gauge({
      name: "holdfast_cp_sync_undrained_bytes",
      help: "Bytes of frames handed to streams that have not drained.",
      registers,
      collect() {
        this.set(read().undrainedBytes);
      },
    });
    this.#alarms = new Counter({
      name: "holdfast_cp_node_alarms_total",
      help: "Times that somebody should have looked at a node.",
      labelNames: ["workspace"],
      registers,
    });

    function gauge(
      name: string,
      help: string,
      value: (of: WorkspaceFigures) => number,
    ): void {
      new Gauge({
        name,
        help,
        labelNames: ["workspace"],
        registers,
        collect() {
          // Without those that were deleted since.
          this.reset();
          for (const [workspace, figures] of read().workspaces)
            this.set({ workspace }, value(figures));
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

  alarmed(workspace: string): void {
    this.#alarms.inc({ workspace });
  }

  nacked(workspace: string, nackClass: NackClass): void {
    this.#nacks.inc({ workspace, class: nackClassName(nackClass) });
  }

  /** There is a workspace: what is counted for it is 0 until it is more. */
  enter(workspace: string): void {
    this.#alarms.inc({ workspace }, 0);
  }

  /** The workspace was deleted. */
  forget(workspace: string): void {
    this.#alarms.remove({ workspace });
    for (const nackClass of Object.values(NackClass))
      this.#nacks.remove({ workspace, class: nackClassName(nackClass) });
  }

  acked(roundTripMs: number | undefined): void {
    if (roundTripMs !== undefined) this.#applies.observe(roundTripMs / 1000);
  }
}
