import { setTimeout as sleep } from "node:timers/promises";
import { CloseStack } from "../src/runtime/close-stack.ts";
import { startEtcd, type Etcd } from "./peers/etcd.ts";
import {
  buildGoServer,
  startGoServer,
  type GoServer,
} from "./peers/go-server.ts";
import type { FleetBare } from "./roles/fleet-bare.ts";
import type { FleetControlPlane } from "./roles/fleet-cp.ts";
import type { RealDataPlanes } from "./roles/real-dp.ts";
import { nowNs } from "./support/acks.ts";
import { Child } from "./support/child.ts";
import { Fleet } from "./support/fleet.ts";
import { cpuUs, residentBytes } from "./support/process-figures.ts";
import { Samples, type Item } from "./support/round.ts";
import { median, short, spread, table } from "./support/statistics.ts";
import { TempDir } from "./support/temp-dir.ts";
import { makeKeyPair, type KeyPair } from "./support/tls.ts";

const SESSIONS = [100, 1_000, 5_000];
/** Entries of the configuration. What more of them cost is what the bench "size" is for. */
const ENTRIES = 1_000;
/** Passes over all contenders in turn, so that what disturbs the machine disturbs all. */
const ROUNDS = 8;
/** Rounds before those that count, for the just-in-time compiler. */
const WARM_UP_ROUNDS = 2;
/** Changes in a round, for a small fleet and for a larger one. */
const CHANGES = 20;
const MANY = 100;
const FEW_CHANGES = 5;
/** A change goes out at once only after some calm; everybody gets it. */
const CALM_MS = 65;
/** After all have connected, before memory is looked at. */
const SETTLE_MS = 1_000;

/** Data planes as they are shipped, and the processes they are in. */
const REAL = 10;
const REAL_PROCESSES = 2;

/** Something that brings changes to many. */
interface Contender {
  readonly name: string;
  /** Resident bytes of the sender, without garbage where that can be collected. */
  readonly memory: () => Promise<number>;
  /** Connects all of the fleet; milliseconds. */
  readonly open: () => Promise<number>;
  readonly change: () => Promise<Item>;
  readonly arrivals: () => Promise<readonly Float64Array[]>;
  readonly close: () => Promise<void>;
}

interface Result {
  readonly name: string;
  readonly samples: Samples;
  /** By round, divided by the floor's. */
  readonly ratios: {
    readonly cpu: number;
    readonly settled: number;
    readonly answered: number;
  }[];
  idleBytes: number;
  openMs: number;
}

/** Commit to the last acknowledgement, beside bare streams, etcd and grpc-go that bring the same bytes to as many. */
export async function fanout(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  await using built = await TempDir.make();
  const goServer = await buildGoServer(built);
  if (goServer.file === undefined)
    print(`${goServer.why}: grpc-go is left out`);
  for (const full of SESSIONS) {
    const sessions = Math.max(2, Math.round(full * scale));
    await using directory = await TempDir.make();
    const pair = await makeKeyPair(directory);
    const results = await measure(
      print,
      { directory, pair, goServer: goServer.file },
      sessions,
      scale,
    );
    // At once: the next number of sessions takes many times as long.
    printTable(
      print,
      results.map((result) => rowOf(sessions, result)),
    );
  }
  printTable(print, [await measureReal(scale)]);
}

function printTable(
  print: (text: string) => void,
  rows: readonly string[][],
): void {
  print(
    table(
      [
        "sessions",
        "",
        "sender CPU, µs per delivery (× floor)",
        "to the last answer, ms p50 / p99 / max (× floor)",
        "of it after the durable write (× floor)",
        "each session has it, ms p50 / p99 / max",
        "durable write, ms p50",
        "memory per idle session, KB",
        "all connected, ms",
      ],
      rows,
    ),
  );
}

interface Place {
  readonly directory: TempDir;
  readonly pair: KeyPair;
  readonly goServer: string | undefined;
}

async function measure(
  print: (text: string) => void,
  { directory, pair, goServer }: Place,
  sessions: number,
  scale: number,
): Promise<readonly Result[]> {
  await using stack = new CloseStack();
  const fleet = stack.use(await Fleet.start(sessions));
  const cp = stack.use(await Child.start<FleetControlPlane>("fleet-cp"));
  const bare = stack.use(await Child.start<FleetBare>("fleet-bare"));
  const etcd = await startEtcd(directory, pair);
  if (etcd === undefined) print("etcd is not installed: left out");
  else stack.use(etcd);
  const go =
    goServer === undefined
      ? undefined
      : stack.use(await startGoServer(goServer, pair));

  const { port } = await cp.call("start", directory.join("cp"), ENTRIES, pair);
  const barePort = await bare.call("start", pair);
  let frame: Uint8Array = Buffer.alloc(0);
  const floor = bareContender(
    fleet,
    bare,
    { port: barePort, pair },
    () => frame,
  );
  const contenders: Contender[] = [
    {
      name: "Holdfast",
      memory: async () => (await cp.call("memory")).rss,
      open: async () => {
        await fleet.prepare({ port, pair }, "node");
        const startedMs = performance.now();
        await fleet.openNodes({ port, pair }, "node");
        await cp.call("inSync", sessions);
        return performance.now() - startedMs;
      },
      change: async () => {
        const item = await cp.call("commit", sessions);
        frame = await cp.call("lastFrame");
        return item;
      },
      arrivals: () => fleet.takeArrivals("node"),
      close: () => fleet.close("node"),
    },
    floor,
    ...(etcd === undefined
      ? []
      : [etcdContender(fleet, etcd, pair, () => frame)]),
    ...(go === undefined ? [] : [goContender(fleet, go, pair, () => frame)]),
  ];
  const results = contenders.map(({ name }) => newResult(name));
  for (const [i, contender] of contenders.entries()) {
    const result = results[i];
    if (result === undefined) continue;
    const before = await contender.memory();
    result.openMs = await contender.open();
    await sleep(SETTLE_MS);
    result.idleBytes = ((await contender.memory()) - before) / sessions;
    await contender.arrivals();
  }
  const rounds = Math.max(1, Math.round(ROUNDS * scale));
  const changes = sessions > MANY || scale < 1 ? FEW_CHANGES : CHANGES;
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++)
    await runRound(contenders, results, changes, round >= 0);
  for (const contender of contenders) await contender.close();
  return results;
}

/** Data planes with gateway, listeners and a replica on disk. */
async function measureReal(scale: number): Promise<string[]> {
  await using directory = await TempDir.make();
  const pair = await makeKeyPair(directory);
  await using stack = new CloseStack();
  const cp = stack.use(await Child.start<FleetControlPlane>("fleet-cp"));
  const { port } = await cp.call("start", directory.join("cp"), ENTRIES, pair);
  const { rss: before } = await cp.call("memory");
  const startedMs = performance.now();
  for (let i = 0; i < REAL_PROCESSES; i++) {
    const dp = stack.use(await Child.start<RealDataPlanes>("real-dp"));
    await dp.call("start", directory.path, REAL / REAL_PROCESSES, port, pair);
  }
  await cp.call("inSync", REAL);
  const result = newResult("Holdfast, with gateway and disk");
  result.openMs = performance.now() - startedMs;
  result.idleBytes = ((await cp.call("memory")).rss - before) / REAL;
  const changes = Math.max(3, Math.round(ROUNDS * CHANGES * scale));
  for (let i = -CHANGES; i < changes; i++) {
    const item = await cp.call("commit", REAL);
    if (i >= 0) result.samples.add(item, item.answersNs ?? new Float64Array());
  }
  await cp.call("close");
  return rowOf(REAL, result);
}

async function runRound(
  contenders: readonly Contender[],
  results: readonly Result[],
  changes: number,
  counts: boolean,
): Promise<void> {
  const round: Samples[] = [];
  for (const contender of contenders) {
    const items: Item[] = [];
    for (let i = 0; i < changes; i++) {
      await sleep(CALM_MS);
      items.push(await contender.change());
    }
    const arrivals = await contender.arrivals();
    const samples = new Samples();
    for (const [i, item] of items.entries())
      samples.add(item, arrivals[i] ?? new Float64Array());
    round.push(samples);
  }
  if (!counts) return;
  const floor = round[1]?.medians;
  if (floor === undefined) throw new Error("there is no floor");
  for (const [i, samples] of round.entries()) {
    const result = results[i];
    if (result === undefined) continue;
    result.samples.append(samples);
    const { cpu, answered, settled, reached } = samples.medians;
    const last = samples.answered.length > 0;
    result.ratios.push({
      cpu: cpu / floor.cpu,
      answered: (last ? answered : reached) / floor.answered,
      settled: last ? settled / floor.settled : NaN,
    });
  }
}

function bareContender(
  fleet: Fleet,
  bare: Child<FleetBare>,
  target: { readonly port: number; readonly pair: KeyPair },
  frame: () => Uint8Array,
): Contender {
  return {
    name: "bare grpc-js (floor)",
    memory: async () => (await bare.call("memory")).rss,
    open: () => fleet.openStreams(target, "bare"),
    change: () => bare.call("send", frame()),
    arrivals: () => fleet.takeArrivals("bare"),
    close: () => fleet.close("bare"),
  };
}

function goContender(
  fleet: Fleet,
  go: GoServer,
  pair: KeyPair,
  frame: () => Uint8Array,
): Contender {
  return {
    name: "grpc-go",
    memory: () => Promise.resolve(residentBytes(go.pid).now),
    open: () => fleet.openStreams({ port: go.port, pair }, "go"),
    change: async () => {
      const cpu = cpuUs(go.pid);
      const { sentNs, answersNs } = await go.send(Buffer.from(frame()));
      return { beginNs: sentNs, answersNs, cpuUs: cpuUs(go.pid) - cpu };
    },
    arrivals: () => fleet.takeArrivals("go"),
    close: () => fleet.close("go"),
  };
}

function etcdContender(
  fleet: Fleet,
  etcd: Etcd,
  pair: KeyPair,
  frame: () => Uint8Array,
): Contender {
  let puts = 0;
  return {
    name: "etcd watch",
    memory: () => Promise.resolve(residentBytes(etcd.pid).now),
    open: () => fleet.openWatchers({ port: etcd.port, pair }),
    change: async () => {
      const heard = await fleet.arrived("etcd");
      const cpu = cpuUs(etcd.pid);
      const beginNs = nowNs();
      await etcd.writer.put(`bench/changed/${puts++ % ENTRIES}`, frame());
      const durableNs = nowNs();
      // There is no answer: waits until the watchers say that they have it.
      await fleet.heard("etcd", heard + fleet.size);
      return { beginNs, durableNs, cpuUs: cpuUs(etcd.pid) - cpu };
    },
    arrivals: () => fleet.takeArrivals("etcd"),
    close: () => fleet.close("etcd"),
  };
}

function newResult(name: string): Result {
  return {
    name,
    samples: new Samples(),
    ratios: [],
    idleBytes: 0,
    openMs: 0,
  };
}

function rowOf(sessions: number, result: Result): string[] {
  const { name, samples, ratios, idleBytes, openMs } = result;
  const ratio = (of: keyof Result["ratios"][number]): string =>
    ratios.length === 0 ? "–" : short(median(ratios.map((round) => round[of])));
  const hasAnswers = samples.answered.length > 0;
  return [
    String(sessions),
    name,
    `${short(median(samples.cpu))} (${ratio("cpu")})`,
    `${spread(hasAnswers ? samples.answered : samples.reached)} (${ratio("answered")})`,
    hasAnswers
      ? `${short(median(samples.settled))} (${ratio("settled")})`
      : "–",
    samples.eachSpread.map(short).join(" / "),
    median(samples.durable) === 0 ? "–" : short(median(samples.durable)),
    short(idleBytes / 1024),
    short(openMs),
  ];
}
