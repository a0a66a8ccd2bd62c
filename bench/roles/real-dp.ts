import path from "node:path";
import { startDataPlane, type DataPlane } from "../../src/dp/data-plane.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import type { Calls } from "../support/child.ts";
import type { KeyPair } from "../support/tls.ts";

export interface RealDataPlanes {
  /** Starts so many data planes, each with gateway, listeners and a replica on disk. */
  readonly start: (
    directory: string,
    count: number,
    controlPlanePort: number,
    pair: KeyPair,
  ) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Data planes as they are shipped. */
export function realDataPlanes(): RealDataPlanes & Calls {
  const running: DataPlane[] = [];
  const anyPort = { host: "127.0.0.1", port: 0 };
  return {
    start: async (directory, count, port, pair) => {
      for (let i = 0; i < count; i++)
        running.push(
          await startDataPlane(
            {
              controlPlanes: [{ host: "127.0.0.1", port }],
              proxyListen: anyPort,
              statusListen: anyPort,
              dataDir: path.join(directory, `dp-${process.pid}-${i}`),
              nodeId: `dp-${process.pid}-${i}`,
              labels: {},
              workspace: "default",
              gateway: { onUnsupported: "refuse" },
              tls: pair,
              insecureSync: false,
              build: "bench",
            },
            { clock: systemClock, logger: silentLogger },
          ),
        );
    },
    close: async () => {
      for (const dp of running) await dp[Symbol.asyncDispose]();
    },
  };
}
