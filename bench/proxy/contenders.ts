import { WORKER_FLAGS } from "../../src/dp/workers/fork.ts";
import type { ProxyBare } from "../roles/proxy-bare.ts";
import type { GatewayPlan, ProxyGateway } from "../roles/proxy-gateway.ts";
import type { ProxyLoad } from "../roles/proxy-load.ts";
import { Child } from "../support/child.ts";
import { cpuUs, residentBytes } from "../support/process-figures.ts";
import { median, megabytes, short, table } from "../support/statistics.ts";
import type { TempDir } from "../support/temp-dir.ts";
import type { KeyPair } from "../support/tls.ts";
import { PEERS, startPeer } from "./peers.ts";
import { proxyRequests } from "./routes.ts";

/** Clients' connections. */
export const CONNECTIONS = 64;
/** How much longer each turn is than what is measured of it, before that begins. */
const SETTLE_SHARE = 1 / 3;
/** Rounds of each pair that do not count. */
const WARM_UP_ROUNDS = 3;
/** What all are compared with. */
const BARE = "bare http-proxy";

/** A proxy that runs. */
interface Running {
  readonly pid: number;
  readonly port: number;
}

/** A proxy that takes part, and what was measured of it. */
interface Contender {
  readonly name: string;
  readonly secure: boolean;
  readonly requests: readonly string[];
  readonly samples: Sample[];
  /** Bytes that it had in the end. */
  bytes: number;
}

interface Sample {
  readonly perCpuSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** How many times as many requests per CPU second as the bare one, which had its turn just before. */
  readonly ratio: number;
}

/** A gateway that takes part, but for its upstream. */
export type Plan = Omit<GatewayPlan, "upstreamPort">;

/** What all have in common. */
interface Setting {
  readonly load: Child<ProxyLoad>;
  readonly upstream: { readonly port: number; readonly bodyBytes: number };
  /** Rounds that count, and how long each measures each of two. */
  readonly rounds: number;
  readonly durationMs: number;
  /** Clients come with this. */
  readonly tls?: KeyPair;
}

/**
 * Proxies to one upstream. Each is compared with a bare one that was started with it, in turns, so that what changes on the
 * machine meanwhile is the same for both, both have run for as long, and neither is idle for longer than the other's turn.
 */
export class Contenders {
  readonly #setting: Setting;
  readonly #bare: Contender;
  readonly #others: Contender[] = [];

  constructor(setting: Setting) {
    this.#setting = setting;
    this.#bare = this.#contender(BARE, {});
  }

  /** Compares a gateway, as a data plane's workers are started. */
  async compareGateway(plan: Plan): Promise<void> {
    await using gateway = await Child.start<ProxyGateway>(
      "proxy-gateway",
      WORKER_FLAGS,
    );
    const port = await gateway.call("start", {
      ...plan,
      upstreamPort: this.#setting.upstream.port,
    });
    const contender = this.#contender(nameOf(plan), plan);
    await this.#compare(contender, { pid: gateway.pid, port });
  }

  /** Compares other people's proxies. */
  async comparePeers(
    directory: TempDir,
    print: (text: string) => void,
  ): Promise<void> {
    for (const name of PEERS) {
      await using peer = await startPeer(
        name,
        directory,
        this.#setting.upstream.port,
      );
      if (peer === undefined) print(`${name} is not installed: left out`);
      else await this.#compare(this.#contender(name, {}), peer);
    }
  }

  table(): string {
    return tableOf([this.#bare, ...this.#others]);
  }

  /** Rounds of both, after some that warm both up: what compiles itself gets faster for many thousand requests. */
  async #compare(contender: Contender, running: Running): Promise<void> {
    const { rounds, upstream, tls } = this.#setting;
    await using child = await Child.start<ProxyBare>("proxy-bare");
    const bare = {
      pid: child.pid,
      port: await child.call("start", upstream.port, tls),
    };
    for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
      const reference = await this.#sample(this.#bare, bare);
      const sample = await this.#sample(contender, running);
      if (round < 0) continue;
      this.#bare.samples.push({ ...reference, ratio: 1 });
      const ratio = sample.perCpuSecond / reference.perCpuSecond;
      contender.samples.push({ ...sample, ratio });
    }
    this.#bare.bytes = residentBytes(bare.pid).now;
    contender.bytes = residentBytes(running.pid).now;
    this.#others.push(contender);
  }

  #contender(name: string, { routes = 1 }: Partial<Plan>): Contender {
    return {
      name,
      secure: this.#setting.tls !== undefined,
      requests: proxyRequests(routes),
      samples: [],
      bytes: 0,
    };
  }

  async #sample(
    { name, secure, requests }: Contender,
    { pid, port }: Running,
  ): Promise<Omit<Sample, "ratio">> {
    const { load, durationMs, upstream } = this.#setting;
    const plan = {
      port,
      secure,
      connections: CONNECTIONS,
      requests,
      bodyBytes: upstream.bodyBytes,
      rate: 0,
    };
    // Since its last turn it was idle for some seconds.
    await load.call("run", { ...plan, durationMs: SETTLE_SHARE * durationMs });
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
    contenders.map(({ name, samples, bytes }) => {
      const ratios = samples.map(({ ratio }) => ratio);
      const rates = samples.map(({ perCpuSecond }) => perCpuSecond);
      return [
        name,
        `**${short(median(ratios))}** ${range(ratios)}`,
        `${short(median(rates))} ${range(rates)}`,
        `${short(median(samples.map(({ p50Ms }) => p50Ms)))} / ${short(median(samples.map(({ p99Ms }) => p99Ms)))}`,
        megabytes(bytes),
      ];
    }),
  );
}

function range(values: readonly number[]): string {
  return `[${short(Math.min(...values))}–${short(Math.max(...values))}]`;
}
