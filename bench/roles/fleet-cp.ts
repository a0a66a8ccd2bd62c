import { Frames, frameOf } from "../../src/cp/distributor/frames.ts";
import { nowNs } from "../support/acks.ts";
import { calm } from "../support/calm.ts";
import type { Calls } from "../support/child.ts";
import {
  changedRoute,
  configuration,
  routeNumber,
} from "../support/configuration.ts";
import { BenchControlPlane } from "../support/control-plane.ts";
import { memoryNow, type Memory } from "../support/memory.ts";
import type { Item } from "../support/round.ts";
import { StallMeter, type Stalls } from "../support/stall-meter.ts";
import type { KeyPair } from "../support/tls.ts";

export interface FleetControlPlane {
  /** Opens what is in the directory, fills it up to so many entries, and says where data planes connect. */
  readonly start: (
    directory: string,
    entries: number,
    pair: KeyPair | undefined,
  ) => Promise<{ readonly port: number; readonly plainPort: number }>;
  /** Resolves with when each of so many nodes had acknowledged the head. */
  readonly inSync: (nodes: number) => Promise<Float64Array>;
  /** Forgets who has acknowledged what, once nobody is connected any more. */
  readonly deserted: () => Promise<void>;
  /** Commits one changed route and waits for all. */
  readonly commit: (nodes: number) => Promise<Item>;
  /** What the last commit sent to a node that had the state before. */
  readonly lastFrame: () => Promise<Buffer>;
  /** Changes so many routes in one transaction. */
  readonly change: (routes: number) => Promise<bigint>;
  /** Commits many changes, spread over so many routes, without waiting for nodes. */
  readonly commitMany: (changes: number, routes: number) => Promise<number>;
  readonly head: () => bigint;
  readonly bytes: () => number;
  readonly cpuUs: () => number;
  readonly memory: () => Promise<Memory>;
  readonly startMeter: () => void;
  readonly stopMeter: () => Stalls;
  readonly close: () => Promise<void>;
}

/** Changes that are submitted at a time: they share durable writes. */
const COMMITS_AT_A_TIME = 64;
const DESERTED_MS = 60_000;

/** A control plane that many nodes connect to. */
export function fleetControlPlane(): FleetControlPlane & Calls {
  let cp: BenchControlPlane;
  let entryCount = 0;
  let version = 0;
  let meter: StallMeter | undefined;
  let before: BenchControlPlane["catalog"]["head"];

  function nextRoute(): ReturnType<typeof changedRoute> {
    version++;
    return changedRoute(routeNumber(entryCount, version), version);
  }

  return {
    start: async (directory, entries, pair) => {
      cp = await BenchControlPlane.start(directory, pair);
      entryCount = entries;
      version = Number(cp.catalog.head.cursor.revision);
      const missing = entries - cp.catalog.head.snapshot.entryCount;
      if (missing > 0) await cp.put([...configuration(entries)]);
      return { port: cp.address.port, plainPort: cp.plainAddress.port };
    },
    inSync: (nodes) => cp.acks.reached(cp.catalog.head.cursor.revision, nodes),
    deserted: async () => {
      const untilMs = performance.now() + DESERTED_MS;
      while (cp.acks.connected > 0) {
        if (performance.now() > untilMs)
          throw new Error(`${cp.acks.connected} nodes are still connected`);
        await calm();
      }
      cp.acks.forget();
    },
    commit: async (nodes) => {
      await calm();
      before = cp.catalog.head;
      const route = nextRoute();
      const cpu = process.cpuUsage();
      const beginNs = nowNs();
      const revision = await cp.put([route]);
      const durableNs = nowNs();
      const answersNs = await cp.acks.reached(revision, nodes);
      const { user, system } = process.cpuUsage(cpu);
      return { beginNs, durableNs, answersNs, cpuUs: user + system };
    },
    lastFrame: async () => {
      const body = await new Frames().delta(before, cp.catalog.head);
      if (body === undefined) throw new Error("one change did not fit a delta");
      return Buffer.from(frameOf(body, BigInt(version)));
    },
    change: (routes) => cp.put(Array.from({ length: routes }, nextRoute)),
    commitMany: async (changes, routes) => {
      const startedMs = performance.now();
      for (let i = 0; i < changes; i += COMMITS_AT_A_TIME)
        await Promise.all(
          Array.from(
            { length: Math.min(COMMITS_AT_A_TIME, changes - i) },
            (_, j) => {
              version++;
              const at = routeNumber(entryCount, (i + j) % routes);
              return cp.put([changedRoute(at, version)]);
            },
          ),
        );
      return performance.now() - startedMs;
    },
    head: () => cp.catalog.head.cursor.revision,
    bytes: () => cp.catalog.head.snapshot.byteCount,
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
    close: () => cp[Symbol.asyncDispose](),
  };
}
