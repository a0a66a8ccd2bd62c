import { Registry } from "prom-client";
import { WorkerGroup } from "../../src/dp/workers/worker-group.ts";
import { cursorOf } from "../../src/model/cursor.ts";
import { Snapshot } from "../../src/model/snapshot.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { driveSlices } from "../../src/runtime/slices.ts";
import { proxyConfiguration } from "../proxy/routes.ts";
import type { Calls } from "../support/child.ts";
import { entryOf, type GatewayPlan } from "./proxy-gateway.ts";

export interface ProxyWorkers {
  /** Starts so many workers that serve and listen. */
  readonly start: (
    plan: GatewayPlan,
    count: number,
  ) => Promise<{ readonly port: number; readonly pids: readonly number[] }>;
}

/** A group of workers by itself. */
export function proxyWorkers(): ProxyWorkers & Calls {
  return {
    start: async ({ routes, plugins, upstreamPort }, count) => {
      const group = await WorkerGroup.start({
        count,
        logLevel: "error",
        gateway: { onUnsupported: "refuse" },
        clock: systemClock,
        logger: silentLogger,
        metrics: new Registry(),
        random: Math.random,
      });
      const snapshot = await driveSlices(
        Snapshot.empty("default").applySlices({
          puts: [...proxyConfiguration(routes, plugins, upstreamPort)].map(
            entryOf,
          ),
          deletes: [],
        }),
      );
      const cursor = cursorOf("bench", 1n, snapshot.root);
      const result = await group.prepare({ cursor, snapshot });
      if (!result.ok) throw new Error(JSON.stringify(result.violations));
      await group.commit(result.prepared);
      await group.open({ host: "127.0.0.1", port: 0 });
      return {
        port: Number(group.address.split(":").at(-1)),
        pids: group.workers.flatMap(({ pid }) => pid ?? []),
      };
    },
  };
}
