import { CloseStack } from "../../src/runtime/close-stack.ts";
import { knownPlugin } from "../../src/model/plugins.ts";
import type { ProxyBare } from "../roles/proxy-bare.ts";
import type { GatewayPlan, ProxyGateway } from "../roles/proxy-gateway.ts";
import type { LoadResult, ProxyLoad } from "../roles/proxy-load.ts";
import type { ProxyUpstream } from "../roles/proxy-upstream.ts";
import { Child } from "../support/child.ts";
import { cpuUs, residentBytes } from "../support/process-figures.ts";
import { median, megabytes, short, table } from "../support/statistics.ts";
import { TempDir } from "../support/temp-dir.ts";
import { buildBench } from "./built.ts";
import { PEERS, startPeer } from "./peers.ts";
import { proxyRequests } from "./routes.ts";

const CONNECTIONS = 64;
const ROUNDS = 5;
const ROUND_MS = 3_000;
const BODIES = [
  { name: "100 B", bytes: 100 },
  { name: "100 KB", bytes: 100_000 },
] as const;
const PLUGINS = ["key-auth", "rate-limiting", "cors"].filter(
  (name) => knownPlugin(name) !== undefined,
);
/** What all are compared with. */
const BARE = "bare http-proxy";

/** A proxy that runs. */
interface Contender {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  readonly requests: readonly string[];
  readonly bodyBytes: number;
  readonly samples: Sample[];
}

interface Sample {
  readonly perCpuSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What a request costs a proxy, in CPU of its process, beside other proxies in turn. */
export async function proxy(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  const built = await buildBench();
  for (const body of BODIES) {
    await using stack = new CloseStack();
    const upstream = stack.use(
      await Child.start<ProxyUpstream>("proxy-upstream", built),
    );
    const load = stack.use(await Child.start<ProxyLoad>("proxy-load", built));
    const upstreamPort = await upstream.call("start", body.bytes);
    const contenders = await start(
      stack,
      { built, upstreamPort, bodyBytes: body.bytes },
      print,
    );
    for (let round = -1; round < ROUNDS; round++)
      for (const contender of contenders) {
        const sample = await measure(load, contender, ROUND_MS * scale);
        // The first one is for warming up.
        if (round >= 0) contender.samples.push(sample);
      }
    print(`\n${body.name} bodies\n`);
    print(tableOf(contenders));
  }
}

async function start(
  stack: CloseStack,
  {
    built,
    upstreamPort,
    bodyBytes,
  }: {
    readonly built: string;
    readonly upstreamPort: number;
    readonly bodyBytes: number;
  },
  print: (text: string) => void,
): Promise<Contender[]> {
  const contenders: Contender[] = [];
  const add = (name: string, pid: number, port: number, routes = 1): void => {
    contenders.push({
      name,
      pid,
      port,
      requests: proxyRequests(routes),
      bodyBytes,
      samples: [],
    });
  };
  const bare = stack.use(await Child.start<ProxyBare>("proxy-bare", built));
  add(BARE, bare.pid, await bare.call("start", upstreamPort, undefined));
  for (const plan of PLANS) {
    const gateway = stack.use(
      await Child.start<ProxyGateway>("proxy-gateway", built),
    );
    const port = await gateway.call("start", { ...plan, upstreamPort });
    add(nameOf(plan), gateway.pid, port, plan.routes);
  }
  const directory = stack.use(await TempDir.make());
  for (const name of PEERS) {
    const peer = await startPeer(name, directory, upstreamPort);
    if (peer === undefined) print(`${name} is not installed: left out`);
    else add(name, stack.use(peer).pid, peer.port);
  }
  return contenders;
}

type Plan = Omit<GatewayPlan, "upstreamPort">;

const PLANS: readonly Plan[] = [
  { routes: 1, plugins: [] },
  { routes: 1_000, plugins: [] },
  { routes: 100_000, plugins: [] },
  { routes: 1_000, plugins: PLUGINS },
];

function nameOf({ routes, plugins }: Plan): string {
  const count = `Holdfast, ${routes.toLocaleString("en")} ${routes === 1 ? "route" : "routes"}`;
  return plugins.length === 0 ? count : `${count}, ${plugins.join(" + ")}`;
}

async function measure(
  load: Child<ProxyLoad>,
  { name, pid, port, requests, bodyBytes }: Contender,
  durationMs: number,
): Promise<Sample> {
  const cpuBefore = cpuUs(pid);
  const result: LoadResult = await load.call("run", {
    port,
    secure: false,
    connections: CONNECTIONS,
    requests,
    bodyBytes,
    durationMs,
    rate: 0,
  });
  const cpu = cpuUs(pid) - cpuBefore;
  if (result.failures.length > 0)
    throw new Error(`${name}: ${result.failures.join(", ")}`);
  const { p50Ms, p99Ms } = result;
  return { perCpuSecond: (result.requests * 1e6) / cpu, p50Ms, p99Ms };
}

function tableOf(contenders: readonly Contender[]): string {
  const [bare] = contenders;
  return table(
    [
      "proxy",
      `× ${BARE} [rounds]`,
      "requests per second of its CPU [rounds]",
      "p50 / p99, ms",
      "memory, MB",
    ],
    contenders.map(({ name, samples, pid }) => {
      const ratios = samples.map(
        ({ perCpuSecond }, i) =>
          perCpuSecond / (bare?.samples[i]?.perCpuSecond ?? NaN),
      );
      const rates = samples.map(({ perCpuSecond }) => perCpuSecond);
      return [
        name,
        range(ratios),
        range(rates),
        `${short(median(samples.map(({ p50Ms }) => p50Ms)))} / ${short(median(samples.map(({ p99Ms }) => p99Ms)))}`,
        megabytes(residentBytes(pid).now),
      ];
    }),
  );
}

function range(values: readonly number[]): string {
  return `**${short(median(values))}** [${short(Math.min(...values))}–${short(Math.max(...values))}]`;
}
