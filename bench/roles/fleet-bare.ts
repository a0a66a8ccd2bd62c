import { BareServer } from "../support/bare-stream.ts";
import type { Calls } from "../support/child.ts";
import { memoryNow, type Memory } from "../support/memory.ts";
import type { Item } from "../support/round.ts";
import { StallMeter, type Stalls } from "../support/stall-meter.ts";
import type { KeyPair } from "../support/tls.ts";

export interface FleetBare {
  readonly start: (pair: KeyPair | undefined) => Promise<number>;
  readonly streams: () => number;
  /** Sends bytes to all and waits for an answer of each. */
  readonly send: (bytes: Uint8Array) => Promise<Item>;
  readonly cpuUs: () => number;
  readonly memory: () => Promise<Memory>;
  readonly startMeter: () => void;
  readonly stopMeter: () => Stalls;
}

/** The floor: grpc-js and nothing else. */
export function fleetBare(): FleetBare & Calls {
  let bare: BareServer;
  let meter: StallMeter | undefined;
  return {
    start: async (pair) => {
      bare = await BareServer.listen(pair);
      return bare.port;
    },
    streams: () => bare.streams,
    send: async (bytes) => {
      const cpu = process.cpuUsage();
      const { sentNs, answersNs } = await bare.send(Buffer.from(bytes));
      const { user, system } = process.cpuUsage(cpu);
      return { beginNs: sentNs, answersNs, cpuUs: user + system };
    },
    cpuUs: () => {
      const { user, system } = process.cpuUsage();
      return user + system;
    },
    memory: memoryNow,
    startMeter: () => {
      meter = new StallMeter();
    },
    stopMeter: () => {
      if (meter === undefined) throw new Error("the meter was not started");
      return meter.stop();
    },
  };
}
