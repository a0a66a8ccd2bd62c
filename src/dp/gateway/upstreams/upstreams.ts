import type { Clock, Timer } from "../../../runtime/clock.ts";
import type { Logger } from "../../../runtime/logger.ts";
import { Balancer, type BalancerTools } from "./balancer.ts";
import type { Resolver } from "./dns/answer.ts";
import { UpstreamHealth } from "./health/upstream-health.ts";
import { hostSource } from "./host.ts";
import type { PeerSource } from "./peer.ts";
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
  /** By the upstream's id. */
  #served: ReadonlyMap<string, Balancer> = new Map();
  #sweeping: Timer | undefined;

  constructor(options: {
    readonly clock: Clock;
    readonly logger: Logger;
    /** From 0 to below 1. */
    readonly random: () => number;
    readonly resolver: Resolver;
  }) {
    const { clock, random, resolver } = options;
    this.health = new UpstreamHealth(options);
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
   * @param before The one it had: kept when nothing has changed, with its place in the round.
   */
  balancer(
    settings: UpstreamSettings,
    targets: readonly ConfiguredTarget[],
    before: Balancer | undefined,
  ): Balancer {
    return before?.signature === Balancer.signatureOf(settings, targets)
      ? before
      : new Balancer(settings, targets, this.#tools);
  }

  /** Where requests of a service go whose host is no upstream. */
  host(host: string, port: number): PeerSource {
    return hostSource(host, port, this.#tools);
  }

  /** The balancers of the revision that is served, by the upstream's id. */
  get served(): ReadonlyMap<string, Balancer> {
    return this.#served;
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
    this.#sweepLater();
  }

  /** Stops looking names up. */
  close(): void {
    this.#sweeping?.cancel();
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
