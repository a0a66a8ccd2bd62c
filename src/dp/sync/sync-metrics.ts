import { Counter, Gauge, type Registry } from "prom-client";
import { messageName } from "../../sync/names.ts";
import type { Replica } from "../../sync/replica/state.ts";

/** Counts what goes over the link. Plain numbers until somebody asks: each message is counted, few are asked for. */
export class SyncMetrics {
  readonly #messages = {
    in: new Map<string, number>(),
    out: new Map<string, number>(),
  };
  readonly #applies: Counter<"outcome">;
  #losses = 0;

  constructor(metrics: Registry, replica: () => Replica) {
    const registers = [metrics];
    const messages = this.#messages;
    new Counter({
      name: "holdfast_dp_sync_messages_total",
      help: "Messages of the sync protocol, by direction and type.",
      labelNames: ["direction", "type"],
      registers,
      collect() {
        this.reset();
        for (const direction of ["in", "out"] as const)
          for (const [type, count] of messages[direction])
            this.inc({ direction, type: messageName(type) }, count);
      },
    });
    this.#applies = new Counter({
      name: "holdfast_dp_applies_total",
      help: "States received, by what became of them.",
      labelNames: ["outcome"],
      registers,
    });
    const losses = (): number => this.#losses;
    new Counter({
      name: "holdfast_dp_control_plane_losses_total",
      help: "Control planes that had welcomed this node and were lost.",
      registers,
      collect() {
        this.reset();
        this.inc(losses());
      },
    });
    new Gauge({
      name: "holdfast_dp_control_plane_connected",
      help: "Whether a control plane has welcomed this node.",
      registers,
      collect() {
        this.set(replica().at === "online" ? 1 : 0);
      },
    });
    new Gauge({
      name: "holdfast_dp_serving_revision",
      help: "The revision served; -1 without any configuration.",
      registers,
      collect() {
        const cursor = replica().serving;
        this.set(cursor === undefined ? -1 : Number(cursor.revision));
      },
    });
  }

  /** A message came or went, by its name in code. */
  message(direction: "in" | "out", name: string | undefined): void {
    const counts = this.#messages[direction];
    const type = name ?? "unknown";
    counts.set(type, (counts.get(type) ?? 0) + 1);
  }

  /** A state was applied or refused. */
  applied(outcome: string): void {
    this.#applies.inc({ outcome });
  }

  /** A control plane that had welcomed this node is gone. */
  lost(): void {
    this.#losses++;
  }
}
