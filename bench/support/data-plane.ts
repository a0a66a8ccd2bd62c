import { Registry } from "prom-client";
import { create } from "@bufbuild/protobuf";
import {
  FeatureSchema,
  type Refusal,
  type Timings,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import type { State } from "../../src/dp/replica/last-good.ts";
import {
  Applier,
  type Activation,
  type Persistence,
} from "../../src/dp/sync/applier.ts";
import { SyncClient } from "../../src/dp/sync/sync-client.ts";
import type { Feature } from "../../src/model/features.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import type { HostPort } from "../../src/runtime/host-port.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import type { Connector } from "../../src/runtime/link.ts";
import { EDITION, spelledOut } from "../../src/sync/editions.ts";

/** A state is kept in memory only. */
export const inMemory: Persistence = {
  persist: () => Promise.resolve(),
  remember: () => Promise.resolve(),
};

/** Serves nothing: calls `onServed` instead. */
export function activationOf(
  onServed: (state: State) => void,
): Activation<State> {
  return {
    prepare: (state) => Promise.resolve({ ok: true, prepared: state }),
    commit: onServed,
  };
}

export interface BenchNodeOptions<P> {
  readonly id: string;
  readonly controlPlane: HostPort;
  /** Without it the control plane is spoken to in clear text. */
  readonly tls?: Connector;
  readonly activation: Activation<P>;
  readonly persistence: Persistence;
  readonly served: State | undefined;
  readonly refusals?: readonly Refusal[];
  readonly features?: readonly Feature[];
  /** Hears how long the steps of each apply took. */
  readonly onTimings?: (timings: Timings) => void;
}

/** A session of a data plane: the real client and applier, which proves every root, on a connection of its own. */
export class BenchNode<P> implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(options: BenchNodeOptions<P>) {
    const { id, served } = options;
    const client = new SyncClient<P>({
      controlPlanes: [options.controlPlane],
      tls: options.tls,
      workspace: "default",
      node: {
        id,
        boot: crypto.randomUUID(),
        build: "bench",
        hostname: "bench",
        labels: {},
      },
      // What a data plane says that has no plugins of others.
      features:
        options.features ?? spelledOut([create(FeatureSchema, EDITION)]),
      applier: new TimedApplier(
        {
          workspace: "default",
          clock: systemClock,
          activation: options.activation,
          persistence: options.persistence,
          served,
        },
        options.onTimings ?? (() => undefined),
      ),
      serving: served?.cursor,
      refusals: options.refusals ?? [],
      takeCounters: () => [],
      clock: systemClock,
      logger: silentLogger,
      metrics: new Registry(),
      random: Math.random,
    });
    this.#running = client.run(this.#stop.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

/** Tells what goes into each Ack. */
class TimedApplier<P> extends Applier<P> {
  readonly #onTimings: (timings: Timings) => void;

  constructor(
    options: ConstructorParameters<typeof Applier<P>>[0],
    onTimings: (timings: Timings) => void,
  ) {
    super(options);
    this.#onTimings = onTimings;
  }

  override timings(seq: bigint): Timings | undefined {
    const timings = super.timings(seq);
    if (timings !== undefined) this.#onTimings(timings);
    return timings;
  }
}
