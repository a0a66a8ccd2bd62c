import { setTimeout as sleep } from "node:timers/promises";
import { Gateway } from "../../src/dp/gateway/gateway.ts";
import type { Prepared } from "../../src/dp/gateway/states.ts";
import { ReplicaStore } from "../../src/dp/replica/replica-store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import type { State } from "../../src/dp/replica/last-good.ts";
import type { Activation } from "../../src/dp/sync/applier.ts";
import { activationOf, BenchNode } from "../support/data-plane.ts";
import { memoryNow, type Memory } from "../support/memory.ts";
import { StallMeter, type Stalls } from "../support/stall-meter.ts";
import type { Calls } from "../support/child.ts";

/** How long an apply took, by step. Milliseconds. */
export interface Steps {
  readonly receive: number;
  readonly verify: number;
  readonly prepare: number;
  readonly persist: number;
  readonly commit: number;
}

export interface SizeDataPlane {
  /** Opens what is in the directory, serves it, and listens; without a gateway it only keeps it. */
  readonly open: (
    directory: string,
    withGateway: boolean,
  ) => Promise<{
    readonly port: number;
    readonly loadMs: number;
    readonly compileMs: number;
  }>;
  /** Connects; resolves when a revision or a later one is served. */
  readonly connect: (
    controlPlanePort: number,
    revision: bigint,
  ) => Promise<{ readonly ms: number }>;
  readonly disconnect: () => Promise<void>;
  /** How long the applies since the last call took. */
  readonly takeSteps: () => readonly Steps[];
  readonly startMeter: () => void;
  readonly stopMeter: () => Stalls;
  readonly memory: () => Promise<Memory>;
  readonly close: () => Promise<void>;
}

const SERVE_MS = 15 * 60_000;
const POLL_MS = 5;

/** A data plane with gateway and replica, but for its status listener. */
export function sizeDataPlane(): SizeDataPlane & Calls {
  let gateway: Gateway;
  let replica: ReplicaStore;
  let withGateway = true;
  let serving: State | undefined;
  let node: AsyncDisposable | undefined;
  let meter: StallMeter | undefined;
  let steps: Steps[] = [];

  async function disconnect(): Promise<void> {
    await node?.[Symbol.asyncDispose]();
    node = undefined;
  }

  return {
    open: async (dataDir, gatewayToo) => {
      withGateway = gatewayToo;
      const beginMs = performance.now();
      replica = await ReplicaStore.open({
        dataDir,
        workspace: "default",
        clock: systemClock,
        logger: silentLogger,
      });
      const loadedMs = performance.now();
      gateway = Gateway.create({
        onUnsupported: "refuse",
        clock: systemClock,
        logger: silentLogger,
      });
      const createdMs = performance.now();
      serving = replica.loaded;
      if (replica.loaded !== undefined && withGateway) {
        const result = await gateway.prepare(replica.loaded);
        if (!result.ok) throw new Error("the replica is not servable");
        gateway.commit(result.prepared);
      }
      const compileMs = performance.now() - createdMs;
      await gateway.open({ host: "127.0.0.1", port: 0 });
      return {
        port: portOf(gateway.address),
        loadMs: loadedMs - beginMs,
        compileMs,
      };
    },
    connect: async (controlPlanePort, revision) => {
      const beginMs = performance.now();
      const activation: Activation<State> = withGateway
        ? {
            prepare: async (state, onProgress) => {
              const result = await gateway.prepare(state, onProgress);
              return result.ok
                ? {
                    ok: true,
                    prepared: { ...state, compiled: result.prepared },
                  }
                : result;
            },
            commit: (state: State & { readonly compiled?: Prepared }) => {
              if (state.compiled !== undefined) gateway.commit(state.compiled);
              serving = { cursor: state.cursor, snapshot: state.snapshot };
            },
          }
        : activationOf((state) => {
            serving = state;
          });
      node = new BenchNode<State>({
        id: "bench",
        controlPlane: { host: "127.0.0.1", port: controlPlanePort },
        activation,
        persistence: replica,
        served: serving,
        features: gateway.features,
        onTimings: (timings) => {
          steps.push({
            receive: Number(timings.receiveUs) / 1000,
            verify: Number(timings.verifyUs) / 1000,
            prepare: Number(timings.prepareUs) / 1000,
            persist: Number(timings.persistUs) / 1000,
            commit: Number(timings.commitUs) / 1000,
          });
        },
      });
      while ((serving?.cursor.revision ?? -1n) < revision) {
        if (performance.now() - beginMs > SERVE_MS)
          throw new Error(`revision ${revision} is not served`);
        await sleep(POLL_MS);
      }
      return { ms: performance.now() - beginMs };
    },
    disconnect,
    takeSteps: () => {
      const taken = steps;
      steps = [];
      return taken;
    },
    startMeter: () => {
      meter = new StallMeter();
    },
    stopMeter: () => {
      if (meter === undefined) throw new Error("the meter was not started");
      return meter.stop();
    },
    memory: memoryNow,
    close: async () => {
      await disconnect();
      await gateway.close();
      await replica[Symbol.asyncDispose]();
    },
  };
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}
