import { WORKER_FLAGS } from "../../src/dp/workers/fork.ts";
import type { CloseStack } from "../../src/runtime/close-stack.ts";
import type { ProxyBare } from "../roles/proxy-bare.ts";
import type { GatewayPlan, ProxyGateway } from "../roles/proxy-gateway.ts";
import type { ProxyLoad } from "../roles/proxy-load.ts";
import { Child } from "../support/child.ts";
import { cpuUs, residentBytes } from "../support/process-figures.ts";
import { median, megabytes, short, table } from "../support/statistics.ts";
import type { TempDir } from "../support/temp-dir.ts";
import { makeKeyPair } from "../support/tls.ts";
import { PEERS, startPeer } from "./peers.ts";
import { proxyRequests } from "./routes.ts";

/** Clients' connections. */
export const CONNECTIONS = 64;
/** How much longer each turn is than what is measured of it, before that begins. */
const WARM_UP_SHARE = 2 / 3;
/** What all are compared with. */
const BARE = "bare http-proxy";

/** A proxy that runs. */
interface Contender {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  readonly secure: boolean;
  readonly requests: readonly string[];
  readonly samples: Sample[];
}

interface Sample {
  readonly perCpuSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** How many times as many requests per CPU second as the first, which had its turn just before. */
  readonly ratio: number;
}

/** A gateway that takes part, but for its upstream. */
export type Plan = Omit<GatewayPlan, "upstreamPort">;

/**
 * Proxies to one upstream. The first is the one that all are compared with, one after the other: it and the other take
 * turns until there is enough of both, so that what changes on the machine meanwhile is the same for both, and neither is
 * idle for long. After most of a minute without a request V8 has made its space for new objects small, and what would be
 * measured is how it grows again.
 */
export class Contenders {
  readonly #stack: CloseStack;
  readonly #upstream: { readonly port: number; readonly bodyBytes: number };
  readonly #all: Contender[] = [];

  constructor(
    stack: CloseStack,
    upstream: { readonly port: number; readonly bodyBytes: number },
  ) {
    this.#stack = stack;
    this.#upstream = upstream;
  }

  /** http-proxy by itself. */
  async addBare(secureIn?: TempDir): Promise<void> {
    const bare = this.#stack.use(await Child.start<ProxyBare>("proxy-bare"));
    const tls =
      secureIn === undefined ? undefined : await makeKeyPair(secureIn);
    const port = await bare.call("start", this.#upstream.port, tls);
    this.#add(BARE, bare.pid, port, { secure: tls !== undefined });
  }

  /** One as a data plane's workers are started. */
  async addGateway(plan: Plan): Promise<void> {
    const gateway = this.#stack.use(
      await Child.start<ProxyGateway>("proxy-gateway", WORKER_FLAGS),
    );
    const port = await gateway.call("start", {
      ...plan,
      upstreamPort: this.#upstream.port,
    });
    this.#add(nameOf(plan), gateway.pid, port, plan);
  }

  async addPeers(
    directory: TempDir,
    print: (text: string) => void,
  ): Promise<void> {
    for (const name of PEERS) {
      const peer = await startPeer(name, directory, this.#upstream.port);
      if (peer === undefined) print(`${name} is not installed: left out`);
      else this.#add(name, this.#stack.use(peer).pid, peer.port, {});
    }
  }

  /** Compares each of the others with the first, for so many rounds after one that warms both up. */
  async measure(
    load: Child<ProxyLoad>,
    durationMs: number,
    rounds: number,
  ): Promise<void> {
    const [bare, ...others] = this.#all;
    if (bare === undefined) throw new Error("there is nothing to compare with");
    for (const contender of others)
      for (let round = 0; round <= rounds; round++) {
        const reference = await this.#sample(load, bare, durationMs);
        const sample = await this.#sample(load, contender, durationMs);
        // For what compiles itself while it runs, and gets faster for many thousand requests.
        if (round === 0) continue;
        bare.samples.push({ ...reference, ratio: 1 });
        const ratio = sample.perCpuSecond / reference.perCpuSecond;
        contender.samples.push({ ...sample, ratio });
      }
  }

  table(): string {
    return tableOf(this.#all);
  }

  #add(
    name: string,
    pid: number,
    port: number,
    { routes = 1, secure = false }: Partial<Plan>,
  ): void {
    this.#all.push({
      name,
      pid,
      port,
      secure,
      requests: proxyRequests(routes),
      samples: [],
    });
  }

  async #sample(
    load: Child<ProxyLoad>,
    { name, pid, port, secure, requests }: Contender,
    durationMs: number,
  ): Promise<Omit<Sample, "ratio">> {
    const plan = {
      port,
      secure,
      connections: CONNECTIONS,
      requests,
      bodyBytes: this.#upstream.bodyBytes,
      rate: 0,
    };
    // Since its last turn it was idle for some seconds.
    await load.call("run", { ...plan, durationMs: WARM_UP_SHARE * durationMs });
    const cpuBefore = cpuUs(pid);
    const result = await load.call("run", { ...plan, durationMs });
    const cpu = cpuUs(pid) - cpuBefore;
    if (result.failures.length > 0)
      throw new Error(`${name}: ${result.failures.join(", ")}`);
    const { p50Ms, p99Ms } = result;
    return { perCpuSecond: (result.requests * 1e6) / cpu, p50Ms, p99Ms };
  }
}

function nameOf({ routes, plugins, forwarder }: Plan): string {
  return [
    `Holdfast, ${routes.toLocaleString("en")} ${routes === 1 ? "route" : "routes"}`,
    ...(plugins.length === 0 ? [] : [plugins.join(" + ")]),
    ...(forwarder === undefined ? [] : [`over ${forwarder}`]),
  ].join(", ");
}

function tableOf(contenders: readonly Contender[]): string {
  return table(
    [
      "proxy",
      `× ${BARE} [rounds]`,
      "requests per second of its CPU [rounds]",
      "p50 / p99, ms",
      "memory, MB",
    ],
    contenders.map(({ name, samples, pid }) => {
      const ratios = samples.map(({ ratio }) => ratio);
      const rates = samples.map(({ perCpuSecond }) => perCpuSecond);
      return [
        name,
        `**${short(median(ratios))}** ${range(ratios)}`,
        `${short(median(rates))} ${range(rates)}`,
        `${short(median(samples.map(({ p50Ms }) => p50Ms)))} / ${short(median(samples.map(({ p99Ms }) => p99Ms)))}`,
        megabytes(residentBytes(pid).now),
      ];
    }),
  );
}

function range(values: readonly number[]): string {
  return `[${short(Math.min(...values))}–${short(Math.max(...values))}]`;
}
