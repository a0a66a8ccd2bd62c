import { setTimeout as sleep } from "node:timers/promises";
import { CloseStack } from "../src/runtime/close-stack.ts";
import { startEtcd } from "./peers/etcd.ts";
import { WATCHED } from "./roles/fleet-nodes.ts";
import type { FleetControlPlane } from "./roles/fleet-cp.ts";
import type { SlowNode } from "./roles/slow-node.ts";
import { nowNs } from "./support/acks.ts";
import { Child } from "./support/child.ts";
import { Fleet } from "./support/fleet.ts";
import { residentBytes } from "./support/process-figures.ts";
import { Samples, type Item } from "./support/round.ts";
import { megabytes, quantile, short, table } from "./support/statistics.ts";
import { TempDir } from "./support/temp-dir.ts";
import { makeKeyPair, type KeyPair } from "./support/tls.ts";

/** Nodes that read. */
const NODES = 1_000;
const ENTRIES = 10_000;
/** How long there is one that does not. */
const SLOW_MS = 10 * 60_000;
/** How long there is none, before that: what is compared with. Of etcd both are so long. */
const CALM_MS = 2 * 60_000;
/** Between two changes. */
const PACE_MS = 500;
/** Changes before those that count. */
const WARM_UP = 10;

interface Phase {
  readonly name: string;
  readonly samples: Samples;
  /** Resident bytes of the sender, at each change. */
  readonly memory: readonly number[];
  readonly note: string;
}

/** One node that reads nothing beside many that do. */
export async function slow(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  await using directory = await TempDir.make();
  const pair = await makeKeyPair(directory);
  const nodes = Math.max(2, Math.round(NODES * scale));
  await using fleet = await Fleet.start(nodes);
  const phases = [
    ...(await measureHoldfast(directory, pair, fleet, scale)),
    ...(await measureEtcd(print, directory, pair, fleet, scale)),
  ];
  print(
    table(
      [
        `${nodes} others`,
        "changes",
        "each has it, ms p50 / p99 / p99.9 / max",
        "memory of the sender at the beginning / end / most, MB",
        "",
      ],
      phases.map(rowOf),
    ),
  );
}

async function measureHoldfast(
  directory: TempDir,
  pair: KeyPair,
  fleet: Fleet,
  scale: number,
): Promise<readonly Phase[]> {
  await using stack = new CloseStack();
  const cp = stack.use(await Child.start<FleetControlPlane>("fleet-cp"));
  const slow = stack.use(await Child.start<SlowNode>("slow-node"));
  const { port } = await cp.call("start", directory.join("cp"), ENTRIES, pair);
  const target = { port, pair };
  await fleet.prepare(target, "node");
  await fleet.fetch(target, await cp.call("head"));
  await cp.call("deserted");
  await fleet.openNodes(target, "node", true);
  await cp.call("inSync", fleet.size);
  const changes = {
    pid: cp.pid,
    change: () => cp.call("commit", fleet.size),
    arrivals: () => fleet.takeArrivals("node"),
  };
  for (let i = 0; i < WARM_UP; i++) await changes.change();
  await changes.arrivals();
  const calm = await measure("Holdfast, all read", changes, CALM_MS * scale);
  await slow.call("open", target);
  const held = await measure(
    "Holdfast, one reads nothing",
    changes,
    SLOW_MS * scale,
  );
  const connections = await slow.call("connections");
  await slow.call("close");
  await fleet.close("node");
  return [
    calm,
    { ...held, note: `cut ${connections - 1} times, and came again` },
  ];
}

async function measureEtcd(
  print: (text: string) => void,
  directory: TempDir,
  pair: KeyPair,
  fleet: Fleet,
  scale: number,
): Promise<readonly Phase[]> {
  await using etcd = await startEtcd(directory, pair);
  if (etcd === undefined) {
    print("etcd is not installed: left out");
    return [];
  }
  await using slow = await Child.start<SlowNode>("slow-node");
  await fleet.openWatchers({ port: etcd.port, pair });
  const value = Buffer.alloc(500, 1);
  let puts = 0;
  const changes = {
    pid: etcd.pid,
    change: async (): Promise<Item> => {
      const heard = await fleet.arrived("etcd");
      const beginNs = nowNs();
      await etcd.writer.put(`${WATCHED.from}${puts++ % ENTRIES}`, value);
      await fleet.heard("etcd", heard + fleet.size);
      return { beginNs, cpuUs: 0 };
    },
    arrivals: () => fleet.takeArrivals("etcd"),
  };
  for (let i = 0; i < WARM_UP; i++) await changes.change();
  await changes.arrivals();
  const calm = await measure("etcd, all read", changes, CALM_MS * scale);
  await slow.call("openWatcher", etcd.port, pair);
  const held = await measure(
    "etcd, one reads nothing",
    changes,
    CALM_MS * scale,
  );
  await slow.call("close");
  await fleet.close("etcd");
  return [calm, held];
}

async function measure(
  name: string,
  {
    pid,
    change,
    arrivals,
  }: {
    readonly pid: number;
    readonly change: () => Promise<Item>;
    readonly arrivals: () => Promise<readonly Float64Array[]>;
  },
  durationMs: number,
): Promise<Phase> {
  const samples = new Samples();
  const memory: number[] = [];
  const items: Item[] = [];
  const untilMs = performance.now() + durationMs;
  do {
    await sleep(PACE_MS);
    items.push(await change());
    memory.push(residentBytes(pid).now);
  } while (performance.now() < untilMs);
  for (const [i, times] of (await arrivals()).entries()) {
    const item = items[i];
    if (item !== undefined) samples.add(item, times);
  }
  return { name, samples, memory, note: "" };
}

function rowOf({ name, samples, memory, note }: Phase): string[] {
  return [
    name,
    String(memory.length),
    [0.5, 0.99, 0.999, 1]
      .map((share) => short(quantile(samples.each, share)))
      .join(" / "),
    [memory[0] ?? 0, memory.at(-1) ?? 0, Math.max(...memory)]
      .map(megabytes)
      .join(" / "),
    note,
  ];
}
