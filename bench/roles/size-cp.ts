import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { Frames, frameOf } from "../../src/cp/distributor/frames.ts";
import { calm } from "../support/calm.ts";
import {
  changedRoute,
  configuration,
  routeNumber,
  trafficResources,
} from "../support/configuration.ts";
import { BenchControlPlane, type OpenTimes } from "../support/control-plane.ts";
import { memoryNow, type Memory } from "../support/memory.ts";
import type { Calls } from "../support/child.ts";

/** One changed route. Milliseconds. */
export interface OneCommit {
  /** Until it is durable and answered. */
  readonly durableMs: number;
  /** CPU of this process until every node has acknowledged it. */
  readonly cpuMs: number;
  /** From the commit until every node has acknowledged it; 0 without nodes. */
  readonly ackedMs: number;
  readonly deltaBytes: number;
}

export interface SizeControlPlane {
  /** Opens what is in the directory and says where data planes connect. */
  readonly open: (
    directory: string,
  ) => Promise<OpenTimes & { readonly port: number }>;
  /** Puts the service that requests of the bench go to. */
  readonly putTraffic: (upstreamPort: number) => Promise<bigint>;
  /** Puts so many entries, in transactions of at most 50,000. */
  readonly fill: (
    entries: number,
  ) => Promise<{ readonly ms: number; readonly bytes: number }>;
  readonly head: () => bigint;
  readonly commits: (
    entries: number,
    nodes: number,
    count: number,
  ) => Promise<readonly OneCommit[]>;
  readonly memory: () => Promise<Memory>;
  readonly close: () => Promise<void>;
}

const TRANSACTION_ENTRIES = 50_000;

/** A control plane on a directory of its own. */
export function sizeControlPlane(): SizeControlPlane & Calls {
  let cp: BenchControlPlane;
  let version = 0;

  async function commitOne(entries: number, nodes: number): Promise<OneCommit> {
    await calm();
    const before = cp.catalog.head;
    version++;
    const resource = changedRoute(routeNumber(entries, version), version);
    const cpuBefore = process.cpuUsage();
    const beginMs = performance.now();
    const revision = await cp.put([resource]);
    const durableMs = performance.now() - beginMs;
    if (nodes > 0) await cp.acked(revision, nodes);
    const ackedMs = performance.now() - beginMs;
    const { user, system } = process.cpuUsage(cpuBefore);
    const body = await new Frames().delta(before, cp.catalog.head);
    return {
      durableMs,
      cpuMs: (user + system) / 1000,
      ackedMs: nodes > 0 ? ackedMs : 0,
      deltaBytes: body === undefined ? 0 : frameOf(body, 1n).length,
    };
  }

  return {
    open: async (directory) => {
      cp = await BenchControlPlane.start(directory);
      return { ...cp.openTimes, port: cp.address.port };
    },
    putTraffic: (upstreamPort) => cp.put(trafficResources(upstreamPort)),
    fill: async (entries) => {
      const startedMs = performance.now();
      let resources: Resource[] = [];
      for (const resource of configuration(entries)) {
        resources.push(resource);
        if (resources.length < TRANSACTION_ENTRIES) continue;
        await cp.put(resources);
        resources = [];
      }
      if (resources.length > 0) await cp.put(resources);
      const ms = performance.now() - startedMs;
      return { ms, bytes: cp.catalog.head.snapshot.byteCount };
    },
    head: () => cp.catalog.head.cursor.revision,
    commits: async (entries, nodes, count) => {
      const commits: OneCommit[] = [];
      for (let i = 0; i < count; i++)
        commits.push(await commitOne(entries, nodes));
      return commits;
    },
    memory: memoryNow,
    close: () => cp[Symbol.asyncDispose](),
  };
}
