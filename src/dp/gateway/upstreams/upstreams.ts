import type { Registry } from "prom-client";
import type { Clock, Timer } from "../../../runtime/clock.ts";
import { parseHostPort, type HostPort } from "../../../runtime/host-port.ts";
import type { Logger } from "../../../runtime/logger.ts";
import { Balancer, type BalancerTools } from "./balancer.ts";
import { DnsClient } from "./dns/dns-client.ts";
import { DnsResolver } from "./dns/dns-resolver.ts";
import { SYSTEM_PATHS } from "./dns/system-files.ts";
import type { Identity } from "./health/probe.ts";
import { Prober } from "./health/prober.ts";
import { UpstreamHealth } from "./health/upstream-health.ts";
import { hostSource } from "./host.ts";
import type { PeerSource } from "./peer.ts";
import { measureTargets } from "./target-metrics.ts";
import { addressViews, viewOf, type UpstreamView } from "./view.ts";
import type {
  ConfiguredTarget,
  UpstreamSettings,
} from "./upstream-settings.ts";

/** How often what is known of addresses that nobody uses is looked through. */
const SWEEP_MS = 60_000;

/** Everything about upstreams that outlives a revision: what is known of their addresses, names and health. */
export class Upstreams {
  readonly health: UpstreamHealth;
  readonly #tools: BalancerTools;
  readonly #clock: Clock;
  readonly #resolver: DnsResolver;
  readonly #prober: Prober;
  /** By the upstream's id. */
  #served: ReadonlyMap<string, Balancer> = new Map();
  #sweeping: Timer | undefined;

  constructor(options: {
    readonly clock: Clock;
    readonly logger: Logger;
    /** From 0 to below 1. */
    readonly random: () => number;
    /** Name servers, HOST:PORT; none: those of the system. */
    readonly dnsServers?: readonly string[];
    /** Where numbers about targets go. Absent: nowhere. */
    readonly metrics?: Registry;
  }) {
    const { clock, random, logger, dnsServers = [] } = options;
    const client = new DnsClient({
      clock,
      servers: dnsServers.map(serverOf),
      files: SYSTEM_PATHS,
    });
    const resolver = new DnsResolver({
      resolve: (name, last) => client.resolve(name, last),
      clock,
      logger,
    });
    this.#resolver = resolver;
    this.health = new UpstreamHealth(options);
    if (options.metrics !== undefined)
      measureTargets(options.metrics, () => addressViews(this.views()));
    this.#prober = new Prober({
      health: this.health,
      resolver,
      clock,
      random,
    });
    this.#clock = clock;
    this.#tools = {
      random,
      resolver,
      health: this.health,
      nowMs: () => clock.monotonic(),
    };
  }

  /**
   * The balancer of an upstream.
   *
   * @param identities Shown to targets that are probed over TLS.
   * @param before The one it had: kept when nothing has changed, with its place in the round.
   */
  balancer(
    settings: UpstreamSettings,
    targets: readonly ConfiguredTarget[],
    identities: readonly Identity[],
    before: Balancer | undefined,
  ): Balancer {
    return before?.signature === Balancer.signatureOf(settings, targets) &&
      before.identities === identities
      ? before
      : new Balancer(settings, targets, identities, this.#tools);
  }

  /** Where requests of a service go whose host is no upstream. */
  host(host: string, port: number): PeerSource {
    return hostSource(host, port, this.#tools);
  }

  /** The balancers of the revision that is served, by the upstream's id. */
  get served(): ReadonlyMap<string, Balancer> {
    return this.#served;
  }

  /** How they are doing, by name. */
  views(): readonly UpstreamView[] {
    return [...this.#served.values()]
      .map(viewOf)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** These are served from now on. */
  serve(balancers: ReadonlyMap<string, Balancer>): void {
    const before = this.#served;
    if (balancers === before) return;
    this.#served = balancers;
    for (const [id, balancer] of balancers)
      if (before.get(id) !== balancer) balancer.start();
    // Those that follow have taken up the names already: nothing is asked anew.
    for (const [id, balancer] of before)
      if (balancers.get(id) !== balancer) balancer.stop();
    this.#prober.serve(balancers);
    this.#sweepLater();
  }

  /** Stops looking names up and probing. */
  close(): void {
    this.#sweeping?.cancel();
    this.#prober.close();
    this.#resolver.close();
    for (const balancer of this.#served.values()) balancer.stop();
    this.#served = new Map();
  }

  #sweepLater(): void {
    this.#sweeping ??= this.#clock.setTimer(SWEEP_MS, () => {
      this.#sweeping = undefined;
      this.health.sweep((id) => {
        const balancer = this.#served.get(id);
        return balancer && new Set(balancer.states());
      });
      this.#sweepLater();
    });
  }
}

/** @throws TypeError when it is not an address with a port: whoever took it from a person has looked. */
function serverOf(text: string): HostPort {
  const parsed = parseHostPort(text);
  if (!parsed.ok) throw new TypeError(parsed.reason);
  return parsed.hostPort;
}
