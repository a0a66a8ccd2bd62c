import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import {
  Health as HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../gen/grpc/health/v1/health_pb.js";
import type { Clock } from "./clock.ts";
import { Doorbell } from "./doorbell.ts";

/** How long a Watch goes without looking; a look that finds nothing new costs nothing. */
const LOOK_MS = 60_000;

/** Whether the services of a server serve. The empty name stands for the server as a whole. */
export class Health {
  readonly #serving: Map<string, boolean>;
  readonly #watchers = new Set<Doorbell>();

  /** All of these serve, and so does the server. */
  constructor(services: readonly string[]) {
    this.#serving = new Map(["", ...services].map((name) => [name, true]));
  }

  /** Says that everything serves, or that nothing does. */
  setServing(serving: boolean): void {
    for (const name of this.#serving.keys()) this.#serving.set(name, serving);
    for (const watcher of this.#watchers) watcher.ring();
  }

  /** Serves grpc.health.v1. */
  addTo(router: ConnectRouter, clock: Clock): void {
    router.service(HealthService, {
      check: ({ service }) => {
        const status = this.#status(service);
        if (status === undefined)
          throw new ConnectError(
            `service "${service}" is not known here`,
            Code.NotFound,
          );
        return { status };
      },
      list: () => ({
        statuses: Object.fromEntries(
          [...this.#serving.keys()].map((name) => [
            name,
            { status: this.#status(name) ?? ServingStatus.UNKNOWN },
          ]),
        ),
      }),
      watch: ({ service }, { signal }) => this.#watch(service, signal, clock),
    });
  }

  #status(service: string): ServingStatus | undefined {
    const serving = this.#serving.get(service);
    if (serving === undefined) return undefined;
    return serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }

  async *#watch(
    service: string,
    signal: AbortSignal,
    clock: Clock,
  ): AsyncGenerator<{ status: ServingStatus }> {
    const bell = new Doorbell();
    this.#watchers.add(bell);
    // A generator that waits at a yield is not resumed by an abort, so that its finally may never run.
    signal.addEventListener("abort", () => this.#watchers.delete(bell), {
      once: true,
    });
    let told: ServingStatus | undefined;
    try {
      for (;;) {
        const status = this.#status(service) ?? ServingStatus.SERVICE_UNKNOWN;
        if (status !== told) yield { status };
        told = status;
        await bell.wait(signal, clock, LOOK_MS);
      }
    } finally {
      this.#watchers.delete(bell);
    }
  }
}
