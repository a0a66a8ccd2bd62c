import { AggregatorRegistry, Gauge, type Registry } from "prom-client";
import type { Clock } from "../../runtime/clock.ts";
import type { Member } from "./member.ts";

/** Metrics as prom-client gives them for other processes. */
type Metrics = readonly {
  readonly name: string;
  readonly type: string | number;
}[];

/** How long a page of metrics waits for a worker. One that hangs is told as it was. */
const PATIENCE_MS = 1_000;
/** How often workers are asked when nobody looks, so that little is lost with one that dies. */
const ROUND_MS = 10_000;

/** The metrics of a data plane and of all its workers in one. */
export class GroupMetrics {
  readonly contentType: string;
  readonly #own: Registry;
  readonly #clock: Clock;
  readonly #members: () => readonly Member[];
  /** What each worker said last. */
  readonly #last = new Map<Member, Metrics>();
  /** What those had counted that are gone: a counter never goes back. */
  #gone: Metrics = [];

  constructor(options: {
    readonly own: Registry;
    readonly clock: Clock;
    readonly members: () => readonly Member[];
    readonly signal: AbortSignal;
  }) {
    this.#own = options.own;
    this.#clock = options.clock;
    this.#members = options.members;
    this.contentType = options.own.contentType;
    void this.#run(options.signal);
  }

  /** The page of all metrics. */
  async metrics(): Promise<string> {
    await this.#ask();
    const own = await this.#own.metrics();
    const others = await merge([
      this.#gone,
      ...[...this.#last.values()],
    ]).metrics();
    return `${own}${others}`;
  }

  /** A worker is gone. */
  async left(member: Member): Promise<void> {
    const last = this.#last.get(member);
    this.#last.delete(member);
    if (last === undefined) return;
    const lasting = last.filter(
      ({ type }) => type === "counter" || type === "histogram",
    );
    this.#gone = await merge([this.#gone, lasting]).getMetricsAsJSON();
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(ROUND_MS, signal).catch(() => undefined);
      await this.#ask();
    }
  }

  async #ask(): Promise<void> {
    await Promise.all(
      this.#members().map(async (member) => {
        const answer = await Promise.race([
          member.metrics(),
          this.#clock.sleep(PATIENCE_MS),
        ]);
        // It may have gone, and been counted among those, meanwhile.
        if (answer?.type === "answer" && !member.isGone)
          this.#last.set(member, answer.value as Metrics);
      }),
    );
  }
}

function merge(each: readonly Metrics[]): Registry {
  return AggregatorRegistry.aggregate([...each]);
}

/** Has a registry tell how the workers are. */
export function countWorkers(
  registry: Registry,
  workers: () => readonly {
    readonly worker: number;
    readonly state: "starting" | "serving" | "down";
    readonly restarts: number;
  }[],
): void {
  new Gauge({
    name: "holdfast_workers",
    help: "Worker processes by what they do: serve, start, or wait to be started again.",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      for (const state of ["serving", "starting", "down"] as const)
        this.set(
          { state },
          workers().filter((each) => each.state === state).length,
        );
    },
  });
  new Gauge({
    name: "holdfast_worker_restarts",
    help: "How often the worker in each place was replaced because it had ended or hung.",
    labelNames: ["worker"],
    registers: [registry],
    collect() {
      for (const { worker, restarts } of workers())
        this.set({ worker }, restarts);
    },
  });
}
