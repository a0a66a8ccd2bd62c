import {
  startControlPlane,
  type ControlPlane,
} from "../../src/cp/control-plane.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import type { Calls } from "../support/child.ts";

export interface AdminControlPlane {
  /** Starts a control plane in a directory and says where its Admin RPCs are. */
  readonly start: (directory: string) => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** A whole control plane as it is shipped, with its log, history and audit trail, that nobody is connected to. */
export function adminControlPlane(): AdminControlPlane & Calls {
  let cp: ControlPlane | undefined;
  const any = { host: "127.0.0.1", port: 0 };
  return {
    start: async (dataDir) => {
      cp = await startControlPlane(
        {
          adminListen: any,
          syncListen: any,
          dataDir,
          insecureSync: true,
          build: "bench",
        },
        { clock: systemClock, logger: silentLogger },
      );
      return `http://${cp.addresses.admin}`;
    },
    stop: async () => {
      await cp?.[Symbol.asyncDispose]();
    },
  };
}
