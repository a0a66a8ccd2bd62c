import { randomUUID } from "node:crypto";
import type { Failure } from "../proxy/failure.ts";
import {
  balancing,
  type Balancing,
  type BalancingTools,
  type Peer,
} from "./balancing/balancing.ts";
import { hashOf } from "./balancing/consistent-hashing.ts";
import { hashText, type HashFacts } from "./balancing/hash-input.ts";
import { BalancedPeer, lookupFailure } from "./balanced-peer.ts";
import type { DnsAnswer, NamedAddress, Resolver } from "./dns/answer.ts";
import type { AddressState } from "./health/address-state.ts";
import type { Identity } from "./health/probe.ts";
import type { UpstreamHealth } from "./health/upstream-health.ts";
import {
  addressText,
  type Picked,
  type PeerSource,
  type Selection,
} from "./peer.ts";
import { Target } from "./target.ts";
import {
  targetsSignature,
  type ConfiguredTarget,
  type UpstreamSettings,
} from "./upstream-settings.ts";

/** What balancers are made with. */
export interface BalancerTools extends BalancingTools {
  readonly resolver: Resolver;
  readonly health: UpstreamHealth;
}

const NONE: ReadonlySet<Peer> = new Set();

/**
 * Balances requests over the targets of one upstream. Its configuration never changes: an upstream or targets that do get
 * another balancer, which goes on with what is known of the addresses. Until it is started it asks no name server.
 */
export class Balancer implements PeerSource {
  readonly settings: UpstreamSettings;
  /** Equal for balancers of the same upstream with the same settings and targets. */
  readonly signature: string;
  /** Shown to targets that are probed over TLS. */
  readonly identities: readonly Identity[];
  readonly #tools: BalancerTools;
  readonly #targets: readonly Target[];
  /** Until every name has had an answer. */
  #waiting: { readonly done: Promise<void>; readonly resolve: () => void };
  #unanswered: number;
  #stops: (() => void)[] | undefined;
  #peers: readonly Peer[] = [];
  #balancing: Balancing | undefined;
  /** Of the health that the balancing knows of. */
  #version = -1;
  #open = false;

  constructor(
    settings: UpstreamSettings,
    targets: readonly ConfiguredTarget[],
    identities: readonly Identity[],
    tools: BalancerTools,
  ) {
    this.settings = settings;
    this.identities = identities;
    this.signature = Balancer.signatureOf(settings, targets);
    this.#tools = tools;
    this.#targets = targets.map(
      (target) => new Target(target, settings, tools.health),
    );
    let resolve: () => void = () => undefined;
    const done = new Promise<void>((settle) => (resolve = settle));
    this.#waiting = { done, resolve };
    this.#unanswered = this.#targets.filter(({ isNamed }) => isNamed).length;
    this.#rebuild();
  }

  /** What the balancer of these would have as its signature. */
  static signatureOf(
    settings: UpstreamSettings,
    targets: readonly ConfiguredTarget[],
  ): string {
    return `${settings.signature} ${targetsSignature(targets)}`;
  }

  /** Begins to look names up, and to judge the addresses by this upstream's rules. */
  start(): void {
    if (this.#stops !== undefined) return;
    const { health, resolver } = this.#tools;
    const { id, name } = this.settings;
    health.setRules(id, name, this.settings.health);
    this.#stops = [];
    for (const target of this.#targets)
      if (target.isNamed)
        this.#stops.push(
          resolver.watch(target.host, (answer) => {
            this.#resolved(target, answer);
          }),
        );
  }

  /** Lets go of the names. Requests under way go on with the addresses it has, or wait for the first. */
  stop(): void {
    const stops = this.#stops ?? [];
    this.#stops = undefined;
    const letGo = (): void => {
      for (const stop of stops) stop();
    };
    if (this.#unanswered === 0) letGo();
    else void this.#waiting.done.then(letGo);
  }

  /** What is known of its addresses. */
  states(): AddressState[] {
    return this.#targets.flatMap(({ peers }) =>
      peers.map(({ state }) => state),
    );
  }

  /** Its targets, those without weight too. */
  get targets(): readonly Target[] {
    return this.#targets;
  }

  /** The addresses that take requests when they are healthy. */
  get peers(): readonly Peer[] {
    return this.#peers;
  }

  /** Whether enough of its weight is available. */
  get healthy(): boolean {
    this.#refresh();
    return this.#open;
  }

  select(facts: HashFacts): Selection {
    if (this.settings.algorithm !== "consistent-hashing")
      return new BalancedSelection(this, undefined, undefined);
    const { text, setCookie } = hashText(this.settings.hash, facts, randomUUID);
    return new BalancedSelection(
      this,
      text === "" ? undefined : hashOf(text),
      setCookie,
    );
  }

  /** Where a request would go now, as far as that can be told without sending it, and why. */
  expected(facts: HashFacts): {
    readonly address: string | undefined;
    readonly why: string;
  } {
    this.#refresh();
    if (!this.#open) return { address: undefined, why: this.#noPeer().detail };
    const text =
      this.settings.algorithm === "consistent-hashing"
        ? hashText(this.settings.hash, facts, () => "").text
        : "";
    const peer = this.#balancing?.peek(text === "" ? undefined : hashOf(text));
    if (peer === undefined)
      return { address: undefined, why: "one of these, by chance" };
    return {
      address: addressText(peer.address ?? peer.name, peer.port),
      why:
        text === ""
          ? "the next in turn, unless other requests come first"
          : `the one that "${text}" belongs to`,
    };
  }

  /** The peer for an attempt. */
  pick(tried: Set<Peer>, hash: number | undefined): Picked | Promise<Picked> {
    if (this.#mustWait())
      return this.#waiting.done.then(() => this.#pick(tried, hash));
    return this.#pick(tried, hash);
  }

  /** A ring without all of its targets would send requests elsewhere; other ways to choose can begin with those that are there. */
  #mustWait(): boolean {
    return (
      this.#unanswered > 0 &&
      (this.#peers.length === 0 ||
        this.settings.algorithm === "consistent-hashing")
    );
  }

  #pick(tried: Set<Peer>, hash: number | undefined): Picked | Promise<Picked> {
    this.#refresh();
    const peer = this.#open
      ? (this.#balancing?.pick(tried, hash) ??
        this.#balancing?.pick(NONE, hash))
      : undefined;
    if (peer === undefined) return { ok: false, failure: this.#noPeer() };
    tried.add(peer);
    if (peer.address !== undefined) return this.#picked(peer, peer.address);
    const answer = this.#tools.resolver.lookup(peer.name);
    return answer instanceof Promise
      ? answer.then((late) => this.#pickedNow(peer, late))
      : this.#pickedNow(peer, answer);
  }

  #picked(peer: Peer, address: string, port = peer.port): Picked {
    return {
      ok: true,
      peer: new BalancedPeer(
        peer,
        { address, port },
        this.settings.health.passive,
        this.#tools,
      ),
    };
  }

  /** One of a name that is looked up for every request. */
  #pickedNow(peer: Peer, answer: DnsAnswer): Picked {
    if (!answer.ok) return { ok: false, failure: lookupFailure(answer) };
    const found = oneByWeight(answer.addresses, this.#tools.random());
    return this.#picked(
      peer,
      found?.address ?? peer.name,
      found?.service?.port,
    );
  }

  #noPeer(): Failure {
    const failed = this.#targets.find(
      ({ answer, weight }) => answer?.ok === false && weight > 0,
    )?.answer;
    // Nothing but names that have no address: that is what is to be mended.
    if (this.#peers.length === 0 && failed?.ok === false)
      return lookupFailure(failed);
    return {
      reason: "no-peer",
      detail:
        this.#peers.length === 0
          ? "the upstream has no target with a weight"
          : "not enough of the upstream's targets are healthy",
      retriable: false,
    };
  }

  #resolved(target: Target, answer: DnsAnswer): void {
    const isFirst = target.answer === undefined;
    target.resolved(answer);
    this.#rebuild();
    if (isFirst && --this.#unanswered === 0) this.#waiting.resolve();
  }

  #rebuild(): void {
    this.#peers = this.#targets.flatMap(({ peers }) =>
      peers.filter(({ weight }) => weight > 0),
    );
    this.#balancing = undefined;
    this.#version = -1;
  }

  /** Takes note of what has become healthy or unhealthy. */
  #refresh(): void {
    const version = this.#tools.health.version(this.settings.id);
    if (version === this.#version) return;
    this.#version = version;
    const { algorithm, slots, health } = this.settings;
    const available = this.#peers.filter(({ state }) => state.healthy);
    this.#balancing ??= balancing(algorithm, this.#peers, {
      ...this.#tools,
      slots,
    });
    this.#balancing.setAvailable(available);
    // With that of targets that have no address.
    const total = this.#targets.reduce((sum, one) => sum + one.totalWeight, 0);
    const share = (100 * weightOf(available)) / total;
    this.#open = available.length > 0 && share > health.threshold;
  }
}

class BalancedSelection implements Selection {
  readonly setCookie: string | undefined;
  readonly #balancer: Balancer;
  readonly #hash: number | undefined;
  readonly #tried = new Set<Peer>();

  constructor(
    balancer: Balancer,
    hash: number | undefined,
    setCookie: string | undefined,
  ) {
    this.#balancer = balancer;
    this.#hash = hash;
    this.setCookie = setCookie;
  }

  next(): Picked | Promise<Picked> {
    return this.#balancer.pick(this.#tried, this.#hash);
  }
}

/** One of the addresses that a name stands for just now: with SRV records as often as they say, else any. */
function oneByWeight(
  addresses: readonly NamedAddress[],
  chance: number,
): NamedAddress | undefined {
  const weight = ({ service }: NamedAddress): number => service?.weight ?? 1;
  let left = chance * addresses.reduce((sum, one) => sum + weight(one), 0);
  return (
    addresses.find((one) => {
      left -= weight(one);
      return left < 0;
    }) ?? addresses.at(-1)
  );
}

function weightOf(peers: readonly Peer[]): number {
  return peers.reduce((sum, { weight }) => sum + weight, 0);
}
