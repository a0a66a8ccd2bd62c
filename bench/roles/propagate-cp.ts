import { Frames, frameOf } from "../../src/cp/distributor/frames.ts";
import type { Head } from "../../src/cp/catalog/state.ts";
import { BareServer } from "../support/bare-stream.ts";
import { calm } from "../support/calm.ts";
import {
  changedRoute,
  configuration,
  routeNumber,
} from "../support/configuration.ts";
import { BenchControlPlane } from "../support/control-plane.ts";
import type { Calls } from "../support/child.ts";

/** One commit on its way to all. Times in nanoseconds of the machine's monotonic clock. */
export interface Commit {
  readonly revision: bigint;
  readonly beginNs: bigint;
  readonly durableNs: bigint;
  /** All nodes had acknowledged it. */
  readonly ackedNs: bigint;
}

/** One message of the bare streams. */
export interface Sent {
  readonly sentNs: bigint;
  readonly answeredNs: bigint;
  readonly bytes: number;
}

/** A run of commits or messages, and the CPU time of this process in it. */
export interface Run<T> {
  readonly items: readonly T[];
  readonly cpuUs: number;
}

export interface PropagateControlPlane {
  readonly start: (
    directory: string,
    entries: number,
  ) => Promise<{ readonly syncPort: number; readonly barePort: number }>;
  /** Resolves when so many nodes have the head and as many bare streams are open. */
  readonly ready: (nodes: number) => Promise<void>;
  readonly commits: (nodes: number, count: number) => Promise<Run<Commit>>;
  /** Sends what the last commits sent. */
  readonly sends: (count: number) => Promise<Run<Sent>>;
}

const READY_MS = 60_000;

/** A control plane beside bare streams that send the same bytes, in one process. */
export function propagateControlPlane(): PropagateControlPlane & Calls {
  let cp: BenchControlPlane;
  let bare: BareServer;
  let entryCount = 0;
  let changes = 0;
  /** The states before and after each commit of a run. */
  let steps: (readonly [Head, Head])[] = [];
  let frames: Buffer[] = [];

  async function commitOne(nodes: number): Promise<Commit> {
    const before = cp.catalog.head;
    changes++;
    const resource = changedRoute(routeNumber(entryCount, changes), changes);
    const beginNs = process.hrtime.bigint();
    const revision = await cp.put([resource]);
    const durableNs = process.hrtime.bigint();
    const ackedNs = await cp.acked(revision, nodes);
    steps.push([before, cp.catalog.head]);
    return { revision, beginNs, durableNs, ackedNs };
  }

  /** What went to the nodes, once more, for the bare streams. */
  async function encodeSteps(): Promise<void> {
    frames = [];
    for (const [before, after] of steps) {
      const body = await new Frames().delta(before, after);
      if (body === undefined) throw new Error("one change did not fit a delta");
      frames.push(Buffer.from(frameOf(body, BigInt(changes))));
    }
    steps = [];
  }

  return {
    start: async (directory: string, entries: number) => {
      cp = await BenchControlPlane.start(directory);
      bare = await BareServer.listen();
      entryCount = entries;
      await cp.put([...configuration(entries)]);
      return { syncPort: cp.address.port, barePort: bare.port };
    },
    ready: async (nodes: number) => {
      await cp.acked(cp.catalog.head.cursor.revision, nodes);
      const untilMs = performance.now() + READY_MS;
      while (bare.streams < nodes) {
        if (performance.now() > untilMs)
          throw new Error(`${bare.streams} of ${nodes} bare streams opened`);
        await calm();
      }
    },
    commits: async (nodes: number, count: number) => {
      const run = await measured(count, () => commitOne(nodes));
      await encodeSteps();
      return run;
    },
    sends: (count: number) => {
      let i = 0;
      return measured(count, async () => {
        const frame = frames[i++ % frames.length];
        if (frame === undefined) throw new Error("nothing was committed yet");
        const { sentNs, answersNs } = await bare.send(frame);
        return {
          sentNs: BigInt(sentNs),
          answeredNs: BigInt(answersNs.at(-1) ?? 0),
          bytes: frame.length,
        };
      });
    },
  };
}

async function measured<T>(
  count: number,
  one: () => Promise<T>,
): Promise<Run<T>> {
  const items: T[] = [];
  let cpuUs = 0;
  for (let i = 0; i < count; i++) {
    await calm();
    const before = process.cpuUsage();
    items.push(await one());
    const { user, system } = process.cpuUsage(before);
    cpuUs += user + system;
  }
  return { items, cpuUs };
}
