import type { OneCommit, SizeControlPlane } from "./roles/size-cp.ts";
import type { SizeDataPlane, Steps } from "./roles/size-dp.ts";
import type { Traffic, TrafficResult } from "./roles/traffic.ts";
import { Child } from "./support/child.ts";
import type { Memory } from "./support/memory.ts";
import type { Stalls } from "./support/stall-meter.ts";
import {
  median,
  megabytes,
  short,
  spread,
  table,
} from "./support/statistics.ts";
import { TempDir } from "./support/temp-dir.ts";

const SIZES = [1_000, 10_000, 100_000, 1_000_000];
/** Larger ones are kept by the data plane, and not served: compiling them is measured up to here. */
const SERVED_ENTRIES = 100_000;
/** Changes of one route that are measured. */
const COMMITS = 30;
/** The first ones run code that is not compiled yet. */
const WARM_UP_COMMITS = 10;

interface Sized {
  readonly entries: number;
  readonly bytes: number;
  readonly fillMs: number;
  readonly fullSyncMs: number;
  readonly fullSync: Steps;
  readonly stalls: Stalls;
  readonly traffic: TrafficResult;
  /** One changed route, without and with a connected data plane. */
  readonly alone: readonly OneCommit[];
  readonly connected: readonly OneCommit[];
  readonly applies: readonly Steps[];
  readonly deltaStalls: Stalls;
  readonly deltaTraffic: TrafficResult;
  /** A control plane and a data plane with next to nothing. */
  readonly empty: { readonly cp: Memory; readonly dp: Memory };
  readonly cold: {
    readonly storeAndCatalogMs: number;
    readonly distributorMs: number;
    readonly loadMs: number;
    readonly compileMs: number;
    readonly cp: Memory;
    readonly dp: Memory;
  };
  /** Of the processes that did all of the above. */
  readonly busy: { readonly cp: Memory; readonly dp: Memory };
}

/** What grows with the number of entries, and what does not. */
export async function size(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  const results: Sized[] = [];
  for (const entries of SIZES.map((full) => Math.round(full * scale))) {
    const sized = await measure(entries);
    results.push(sized);
    print(`${entries} entries of ${short(sized.bytes / entries)} bytes: done`);
  }
  for (const text of report(results)) print(`\n${text}`);
}

async function measure(entries: number): Promise<Sized> {
  await using directory = await TempDir.make();
  const cpDirectory = directory.join("cp");
  const dpDirectory = directory.join("dp");
  const served = entries <= SERVED_ENTRIES;
  const warm = await measureWarm(entries, cpDirectory, dpDirectory, served);
  const cold = await measureCold(cpDirectory, dpDirectory, served);
  return { ...warm, cold };
}

async function measureWarm(
  entries: number,
  cpDirectory: string,
  dpDirectory: string,
  served: boolean,
): Promise<Omit<Sized, "cold">> {
  await using cp = await Child.start<SizeControlPlane>("size-cp");
  await using dp = await Child.start<SizeDataPlane>("size-dp");
  await using traffic = await Child.start<Traffic>("traffic");
  const upstreamPort = await traffic.call("upstream");
  const { port: syncPort } = await cp.call("open", cpDirectory);
  const { port: gatewayPort } = await dp.call("open", dpDirectory, served);

  // The data plane serves one route, and misses what comes then.
  const first = await cp.call("putTraffic", upstreamPort);
  await dp.call("connect", syncPort, first);
  await dp.call("disconnect");
  const empty = {
    cp: await cp.call("memory"),
    dp: await dp.call("memory"),
  };
  const fill = await cp.call("fill", entries);
  await cp.call("commits", entries, 0, WARM_UP_COMMITS);
  const alone = await cp.call("commits", entries, 0, COMMITS);

  await dp.call("takeSteps");
  await dp.call("startMeter");
  if (served) await traffic.call("start", gatewayPort);
  const head = await cp.call("head");
  const { ms: fullSyncMs } = await dp.call("connect", syncPort, head);
  // Nothing changes: waits until the data plane has said so.
  await cp.call("commits", entries, 1, 1);
  const syncTraffic = await traffic.call("stop");
  const stalls = await dp.call("stopMeter");
  const [fullSync] = await dp.call("takeSteps");
  if (fullSync === undefined) throw new Error("there was no full sync");

  await cp.call("commits", entries, 1, WARM_UP_COMMITS);
  await dp.call("takeSteps");
  await dp.call("startMeter");
  if (served) await traffic.call("start", gatewayPort);
  const connected = await cp.call("commits", entries, 1, COMMITS);
  const deltaTraffic = await traffic.call("stop");
  const deltaStalls = await dp.call("stopMeter");
  const applies = await dp.call("takeSteps");
  const busy = {
    cp: await cp.call("memory"),
    dp: await dp.call("memory"),
  };
  await dp.call("close");
  await cp.call("close");
  return {
    entries,
    empty,
    bytes: fill.bytes,
    fillMs: fill.ms,
    fullSyncMs,
    fullSync,
    stalls,
    traffic: syncTraffic,
    alone,
    connected,
    applies,
    deltaStalls,
    deltaTraffic,
    busy,
  };
}

async function measureCold(
  cpDirectory: string,
  dpDirectory: string,
  served: boolean,
): Promise<Sized["cold"]> {
  await using cp = await Child.start<SizeControlPlane>("size-cp");
  const { storeAndCatalogMs, distributorMs } = await cp.call(
    "open",
    cpDirectory,
  );
  const cpMemory = await cp.call("memory");
  await cp.call("close");
  await using dp = await Child.start<SizeDataPlane>("size-dp");
  const { loadMs, compileMs } = await dp.call("open", dpDirectory, served);
  const dpMemory = await dp.call("memory");
  await dp.call("close");
  return {
    storeAndCatalogMs,
    distributorMs,
    loadMs,
    compileMs,
    cp: cpMemory,
    dp: dpMemory,
  };
}

function* report(results: readonly Sized[]): Generator<string> {
  const [smallest] = results;
  if (smallest === undefined) return;
  const head = ["", ...results.map(({ entries }) => `${entries} entries`)];
  const row = (name: string, of: (sized: Sized) => string): string[] => [
    name,
    ...results.map(of),
  ];
  /** A median beside its ratio to that of the smallest size. */
  const growing = (
    name: string,
    of: (sized: Sized) => readonly number[],
  ): string[] =>
    row(name, (sized) => {
      const value = median(of(sized));
      const factor = value / median(of(smallest));
      return `${short(value)} (${short(factor)}x)`;
    });
  const step = (name: keyof Steps): string[] =>
    growing(`apply: ${name}, ms p50`, ({ applies }) =>
      applies.map((steps) => steps[name]),
    );

  yield "One changed route (the ratio is to the smallest size):";
  yield table(head, [
    growing("commit until durable, ms p50", ({ alone }) =>
      alone.map(({ durableMs }) => durableMs),
    ),
    growing("CPU of it on the control plane, ms p50", ({ alone }) =>
      alone.map(({ cpuMs }) => cpuMs),
    ),
    growing("delta, bytes", ({ connected }) =>
      connected.map(({ deltaBytes }) => deltaBytes),
    ),
    growing("commit until acknowledged, ms p50", ({ connected }) =>
      connected.map(({ ackedMs }) => ackedMs),
    ),
    step("receive"),
    step("verify"),
    step("prepare"),
    step("persist"),
    step("commit"),
  ]);

  yield "All entries:";
  yield table(head, [
    row("bytes of an entry", ({ bytes, entries }) => short(bytes / entries)),
    row("put as one transaction, ms", ({ fillMs }) => short(fillMs)),
    row("full sync until served, ms", ({ fullSyncMs }) => short(fullSyncMs)),
    ...(["receive", "verify", "prepare", "persist", "commit"] as const).map(
      (name) =>
        row(`full sync: ${name}, ms`, ({ fullSync }) => short(fullSync[name])),
    ),
    row("cold start CP: store and catalog, ms", ({ cold }) =>
      short(cold.storeAndCatalogMs),
    ),
    row("cold start CP: distributor, ms", ({ cold }) =>
      short(cold.distributorMs),
    ),
    row("cold start DP: replica, ms", ({ cold }) => short(cold.loadMs)),
    row("cold start DP: compile, ms", ({ cold }) => short(cold.compileMs)),
  ]);

  yield "Memory after garbage collection, MB (RSS / heap / buffers), and the peak RSS:";
  yield table(head, [
    row("CP after a cold start", ({ cold }) => memoryText(cold.cp)),
    row("DP after a cold start", ({ cold }) => memoryText(cold.dp)),
    row("CP that did all of this", ({ busy }) => memoryText(busy.cp)),
    row("DP that did all of this", ({ busy }) => memoryText(busy.dp)),
    row("CP with next to nothing", ({ empty }) => memoryText(empty.cp)),
    row("DP with next to nothing", ({ empty }) => memoryText(empty.dp)),
    row("payload", ({ bytes }) => megabytes(bytes)),
    row(
      "CP after a cold start: RSS above that of nothing, × payload",
      (sized) => short((sized.cold.cp.rss - sized.empty.cp.rss) / sized.bytes),
    ),
    row("DP after a cold start: the same", (sized) =>
      short((sized.cold.dp.rss - sized.empty.dp.rss) / sized.bytes),
    ),
    row(
      `CP that did all of this (${COMMITS + WARM_UP_COMMITS} states kept and more): the same`,
      (sized) => short((sized.busy.cp.rss - sized.empty.cp.rss) / sized.bytes),
    ),
    row("DP that did all of this: the same", (sized) =>
      short((sized.busy.dp.rss - sized.empty.dp.rss) / sized.bytes),
    ),
  ]);

  yield "The data plane's event loop under traffic, ms:";
  yield table(head, [
    ...stallRows(row, "full sync", (sized) => sized.stalls),
    ...stallRows(row, `${COMMITS} deltas`, (sized) => sized.deltaStalls),
    row("full sync: requests, of them failed", ({ traffic }) =>
      trafficText(traffic),
    ),
    row("full sync: latency p50 / p99 / max", ({ traffic }) =>
      spread(traffic.latencies),
    ),
    row("deltas: requests, of them failed", ({ deltaTraffic }) =>
      trafficText(deltaTraffic),
    ),
    row("deltas: latency p50 / p99 / max", ({ deltaTraffic }) =>
      spread(deltaTraffic.latencies),
    ),
  ]);
}

function stallRows(
  row: (name: string, of: (sized: Sized) => string) => string[],
  when: string,
  of: (sized: Sized) => Stalls,
): string[][] {
  return [
    row(`${when}: longest stall, work on the CPU alone`, (sized) =>
      short(of(sized).longestWorkMs),
    ),
    row(`${when}: such stalls over 20 ms`, (sized) => String(of(sized).over20)),
    row(`${when}: longest stall with garbage collection`, (sized) =>
      short(of(sized).longestCpuMs),
    ),
    row(`${when}: longest stall by the clock`, (sized) =>
      short(of(sized).longestMs),
    ),
    row(`${when}: monitorEventLoopDelay p99 / max`, (sized) =>
      [of(sized).delayP99Ms, of(sized).delayMaxMs].map(short).join(" / "),
    ),
    row(`${when}: garbage collections, longest / sum`, (sized) => {
      const { count, longestMs, totalMs } = of(sized).collections;
      return `${count}, ${short(longestMs)} / ${short(totalMs)}`;
    }),
  ];
}

function memoryText({ rss, heapUsed, buffers, peakRss }: Memory): string {
  return `${[rss, heapUsed, buffers].map(megabytes).join(" / ")}, peak ${megabytes(peakRss)}`;
}

function trafficText({ latencies, failures }: TrafficResult): string {
  const [first] = failures;
  return `${latencies.length}, ${failures.length}${first === undefined ? "" : ` (${first})`}`;
}
