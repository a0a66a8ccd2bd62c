import type { Clock, Timer } from "../../../../runtime/clock.ts";
import type { Balancer } from "../balancer.ts";
import type { Peer } from "../balancing/balancing.ts";
import type { Resolver } from "../dns/answer.ts";
import type { AddressState } from "./address-state.ts";
import { isProbed, type ActiveRules } from "./health-rules.ts";
import { probe } from "./probe.ts";
import type { UpstreamHealth } from "./upstream-health.ts";

/** Probes of all upstreams at a time. */
const MAX_PROBES = 64;
/** The first probes come within this time. */
const FIRST_MS = 1_000;
/** Each pause is up to this share shorter or longer than the interval, so that not all data planes probe at once. */
const JITTER = 0.1;

export interface ProberOptions {
  readonly health: UpstreamHealth;
  readonly resolver: Resolver;
  readonly clock: Clock;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Probes the targets of the upstreams that are served and want it, unless another process of this node does. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #room = new Room(MAX_PROBES);
  readonly #rounds = new Map<string, Rounds>();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** These balancers are served from now on; what has not changed goes on in its rhythm. */
  serve(balancers: ReadonlyMap<string, Balancer>): void {
    for (const [id, rounds] of this.#rounds) {
      const balancer = balancers.get(id);
      if (balancer !== undefined && rounds.goOn(balancer)) continue;
      rounds.stop();
      this.#rounds.delete(id);
    }
    for (const [id, balancer] of balancers)
      if (isProbed(balancer.settings.health.active) && !this.#rounds.has(id))
        this.#rounds.set(id, new Rounds(balancer, this.#room, this.#options));
  }

  /** Probes nothing from now on. */
  close(): void {
    for (const rounds of this.#rounds.values()) rounds.stop();
    this.#rounds.clear();
  }
}

/** The probes of one upstream: rounds of its healthy targets and rounds of the others. */
class Rounds {
  readonly #options: ProberOptions;
  readonly #shared: Room;
  readonly #own: Room;
  readonly #timers = new Map<boolean, Timer>();
  /** Addresses that have not answered their last probe yet. */
  readonly #asked = new Set<AddressState>();
  #balancer: Balancer;
  #stopped = false;

  constructor(balancer: Balancer, shared: Room, options: ProberOptions) {
    this.#balancer = balancer;
    this.#shared = shared;
    this.#options = options;
    this.#own = new Room(this.#rules.concurrency);
    for (const healthy of [true, false]) {
      const firstMs = Math.min(FIRST_MS, this.#intervalMs(healthy));
      this.#later(healthy, options.random() * firstMs);
    }
  }

  /** Takes another balancer of the same upstream. False when its probes are to be others. */
  goOn(balancer: Balancer): boolean {
    const before = this.#rules;
    const after = balancer.settings.health.active;
    if (
      before.healthyIntervalMs !== after.healthyIntervalMs ||
      before.unhealthyIntervalMs !== after.unhealthyIntervalMs ||
      before.concurrency !== after.concurrency
    )
      return false;
    this.#balancer = balancer;
    return true;
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
  }

  get #rules(): ActiveRules {
    return this.#balancer.settings.health.active;
  }

  #intervalMs(healthy: boolean): number {
    const { healthyIntervalMs, unhealthyIntervalMs } = this.#rules;
    return healthy ? healthyIntervalMs : unhealthyIntervalMs;
  }

  #later(healthy: boolean, delayMs: number): void {
    const intervalMs = this.#intervalMs(healthy);
    if (intervalMs === 0) return;
    const { clock, random, health } = this.#options;
    const timer = clock.setTimer(delayMs, () => {
      if (health.probing)
        for (const peer of this.#balancer.peers)
          if (peer.state.healthy === healthy) void this.#probe(peer);
      this.#later(healthy, intervalMs * (1 - JITTER + 2 * JITTER * random()));
    });
    this.#timers.set(healthy, timer);
  }

  /** Never rejects. */
  async #probe(peer: Peer): Promise<void> {
    const { state } = peer;
    // A slow one is not asked twice at a time.
    if (this.#asked.has(state)) return;
    this.#asked.add(state);
    await this.#own.enter();
    await this.#shared.enter();
    if (!this.#stopped) await this.#ask(peer);
    this.#shared.leave();
    this.#own.leave();
    this.#asked.delete(state);
  }

  async #ask(peer: Peer): Promise<void> {
    const { health, clock } = this.#options;
    const { settings, identities } = this.#balancer;
    const place =
      peer.address === undefined
        ? await this.#placeOf(peer)
        : { address: peer.address, port: peer.port };
    if (place === undefined) return;
    const outcome = await probe(
      {
        rules: this.#rules,
        name: peer.name,
        ...place,
        hostHeader: settings.hostHeader,
        identities,
      },
      clock,
    );
    if (outcome !== undefined) health.report(peer.state, "active", outcome);
  }

  /** Where a name that is looked up each time is now: an SRV record tells its port too. */
  async #placeOf({
    name,
    port,
  }: Peer): Promise<{ address: string; port: number } | undefined> {
    const answer = await this.#options.resolver.lookup(name);
    const first = answer.ok ? answer.addresses[0] : undefined;
    return (
      first && { address: first.address, port: first.service?.port ?? port }
    );
  }
}

/** Lets so many in at a time, in the order in which they come. */
class Room {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  async enter(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** The place goes to the next who waits. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
