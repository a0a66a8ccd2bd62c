import { CloseStack } from "../src/runtime/close-stack.ts";
import { startEtcd } from "./peers/etcd.ts";
import type { FleetBare } from "./roles/fleet-bare.ts";
import type { FleetControlPlane } from "./roles/fleet-cp.ts";
import type { FleetNodes, Target } from "./roles/fleet-nodes.ts";
import { Child } from "./support/child.ts";
import { Fleet } from "./support/fleet.ts";
import { cpuUs, residentBytes, resetPeak } from "./support/process-figures.ts";
import type { Stalls } from "./support/stall-meter.ts";
import { megabytes, short, table } from "./support/statistics.ts";
import { Tap, type Tapped } from "./support/tap.ts";
import { TempDir } from "./support/temp-dir.ts";
import { makeKeyPair, type KeyPair } from "./support/tls.ts";

const NODES = [1_000, 5_000];
const ENTRIES = 10_000;
/** Routes that change while nobody is connected. */
const CHANGED = 10;
/** More states than are kept: what was served is then known by its buckets alone. */
const FORGETTING_COMMITS = 70;

/** How all nodes come back. */
interface Storm {
  readonly name: string;
  readonly cached: boolean;
  /** Whether each has the ticket of its last connection. */
  readonly tickets: boolean;
  /** What happens while they are away. */
  readonly meanwhile: "nothing" | "changes" | "many changes";
}

const STORMS: readonly Storm[] = [
  {
    name: "unchanged, full handshakes",
    cached: true,
    tickets: false,
    meanwhile: "nothing",
  },
  {
    name: "unchanged, resumed",
    cached: true,
    tickets: true,
    meanwhile: "nothing",
  },
  {
    name: `${CHANGED} routes changed, resumed`,
    cached: true,
    tickets: true,
    meanwhile: "changes",
  },
  {
    name: `${CHANGED} routes changed, state not kept any more, resumed`,
    cached: true,
    tickets: true,
    meanwhile: "many changes",
  },
  {
    name: "nothing cached, resumed",
    cached: false,
    tickets: true,
    meanwhile: "nothing",
  },
];

interface Result {
  readonly name: string;
  readonly tapped?: Tapped;
  /** Milliseconds until the first, half and all were there. */
  readonly toHalfMs?: number;
  readonly toAllMs: number;
  readonly cpuMs: number;
  readonly memory: {
    readonly before: number;
    readonly peak: number;
  };
  readonly stalls?: Stalls;
}

/** All nodes come back at once. */
export async function storm(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  for (const full of NODES) {
    const nodes = Math.max(2, Math.round(full * scale));
    await using directory = await TempDir.make();
    const pair = await makeKeyPair(directory);
    await using fleet = await Fleet.start(nodes);
    const peers = await measurePeers(print, directory, pair, fleet);
    const storms = await measureStorms(print, directory, pair, fleet, scale);
    // At once: the next number of nodes takes many times as long.
    print(
      table(
        [
          "nodes",
          "",
          "messages, bytes per node (of the payload)",
          "with HTTP/2",
          "half / all in sync, ms",
          "CPU of the sender, ms per node",
          "memory before / peak, MB",
          "longest stall, ms: by the clock / on the CPU / without GC",
        ],
        [...storms.results, ...peers].map((result) =>
          rowOf(nodes, result, storms.payload),
        ),
      ),
    );
  }
}

async function measureStorms(
  print: (text: string) => void,
  directory: TempDir,
  pair: KeyPair,
  fleet: Fleet,
  scale: number,
): Promise<{ readonly results: readonly Result[]; readonly payload: number }> {
  await using stack = new CloseStack();
  const cp = stack.use(await Child.start<FleetControlPlane>("fleet-cp"));
  const single = stack.use(await Child.start<FleetNodes>("fleet-nodes"));
  const entries = Math.max(100, Math.round(ENTRIES * Math.min(1, scale * 10)));
  const ports = await cp.call("start", directory.join("cp"), entries, pair);
  const tap = stack.use(await Tap.listen(ports.plainPort));
  const target: Target = { port: ports.port, pair };
  await fleet.prepare(target, "node");
  const results: Result[] = [];
  for (const storm of STORMS) {
    const result = await measureOne(storm, cp, single, tap, fleet, target);
    results.push(result);
    print(
      `${fleet.size} nodes, ${storm.name}: all in sync after ${short(result.toAllMs)} ms`,
    );
  }
  const payload = await cp.call("bytes");
  await cp.call("close");
  return { results, payload };
}

async function measureOne(
  storm: Storm,
  cp: Child<FleetControlPlane>,
  single: Child<FleetNodes>,
  tap: Tap,
  fleet: Fleet,
  target: Target,
): Promise<Result> {
  const plain: Target = { port: tap.port, pair: undefined };
  if (storm.cached) {
    const head = await cp.call("head");
    await fleet.fetch(target, head);
    await single.call("fetch", plain, head);
  }
  if (!storm.tickets) {
    await fleet.forgetTickets();
    await fleet.prepare(target, "node");
  }
  if (storm.meanwhile === "many changes")
    await cp.call("commitMany", FORGETTING_COMMITS, CHANGED);
  else if (storm.meanwhile === "changes") await cp.call("change", CHANGED);
  await cp.call("deserted");

  // One alone, by a way on which what is said can be counted: all are told the same.
  tap.take();
  await single.call("openNodes", plain, "single", 1, storm.cached);
  await cp.call("inSync", 1);
  const tapped = tap.take();
  await single.call("close", "single");
  await cp.call("deserted");

  const before = (await cp.call("memory")).rss;
  resetPeak(cp.pid);
  const cpu = cpuUs(cp.pid);
  await cp.call("startMeter");
  const startedMs = performance.now();
  const startedNs = Number(process.hrtime.bigint());
  await fleet.openNodes(target, "node", storm.cached);
  const times = await cp.call("inSync", fleet.size);
  const toAllMs = performance.now() - startedMs;
  const stalls = await cp.call("stopMeter");
  const result = {
    name: storm.name,
    tapped,
    toHalfMs: ((times[times.length >> 1] ?? 0) - startedNs) / 1e6,
    toAllMs,
    cpuMs: (cpuUs(cp.pid) - cpu) / 1000 / fleet.size,
    memory: { before, peak: residentBytes(cp.pid).peak },
    stalls,
  };
  await fleet.close("node");
  await cp.call("deserted");
  return result;
}

/** How long it takes others to have as many connections with TLS. */
async function measurePeers(
  print: (text: string) => void,
  directory: TempDir,
  pair: KeyPair,
  fleet: Fleet,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  {
    await using bare = await Child.start<FleetBare>("fleet-bare");
    const port = await bare.call("start", pair);
    const before = (await bare.call("memory")).rss;
    const cpu = cpuUs(bare.pid);
    resetPeak(bare.pid);
    await bare.call("startMeter");
    const toAllMs = await fleet.openStreams({ port, pair }, "bare");
    results.push({
      name: "bare grpc-js (floor): streams open",
      toAllMs,
      cpuMs: (cpuUs(bare.pid) - cpu) / 1000 / fleet.size,
      memory: { before, peak: residentBytes(bare.pid).peak },
      stalls: await bare.call("stopMeter"),
    });
    await fleet.close("bare");
  }
  await using etcd = await startEtcd(directory, pair);
  if (etcd === undefined) {
    print("etcd is not installed: left out");
    return results;
  }
  const before = residentBytes(etcd.pid).now;
  resetPeak(etcd.pid);
  const cpu = cpuUs(etcd.pid);
  const toAllMs = await fleet.openWatchers({ port: etcd.port, pair });
  results.push({
    name: "etcd: watches open",
    toAllMs,
    cpuMs: (cpuUs(etcd.pid) - cpu) / 1000 / fleet.size,
    memory: { before, peak: residentBytes(etcd.pid).peak },
  });
  await fleet.close("etcd");
  return results;
}

function rowOf(nodes: number, result: Result, payload: number): string[] {
  const { tapped, stalls, memory } = result;
  return [
    String(nodes),
    result.name,
    tapped === undefined
      ? "–"
      : `${tapped.messages} (${short((100 * tapped.messages) / payload)} %)`,
    tapped === undefined ? "–" : String(tapped.all),
    result.toHalfMs === undefined
      ? `– / ${short(result.toAllMs)}`
      : `${short(result.toHalfMs)} / ${short(result.toAllMs)}`,
    short(result.cpuMs),
    `${megabytes(memory.before)} / ${megabytes(memory.peak)}`,
    stalls === undefined
      ? "–"
      : [stalls.longestMs, stalls.longestCpuMs, stalls.longestWorkMs]
          .map(short)
          .join(" / "),
  ];
}
