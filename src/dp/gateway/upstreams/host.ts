import { isAddress } from "../../../model/hosts.ts";
import type { BalancingTools, Peer } from "./balancing/balancing.ts";
import { RoundRobin } from "./balancing/round-robin.ts";
import { lookupFailure } from "./balanced-peer.ts";
import type { DnsAnswer, Resolver } from "./dns/answer.ts";
import { AddressState } from "./health/address-state.ts";
import {
  addressText,
  type Picked,
  type PickedPeer,
  type PeerSource,
  type Selection,
} from "./peer.ts";

/** Where requests of a service go whose host is no upstream. */
export function hostSource(
  host: string,
  port: number,
  tools: BalancingTools & { readonly resolver: Resolver },
): PeerSource {
  return isAddress(host)
    ? new FixedSource(new PlainPeer(host, host, port))
    : new NamedSource(host, port, tools);
}

/** An address whose state nobody keeps. */
class PlainPeer implements PickedPeer {
  readonly name: string;
  readonly address: string;
  readonly port: number;

  constructor(name: string, address: string, port: number) {
    this.name = name;
    this.address = address;
    this.port = port;
  }

  answered(): void {
    // Nobody balances by it.
  }

  failed(): void {
    // Nobody judges it.
  }

  release(): void {
    // Nobody counts.
  }
}

/** The one place that all attempts of all requests go to. */
class FixedSource implements PeerSource, Selection {
  readonly setCookie = undefined;
  readonly #picked: Picked;

  constructor(peer: PickedPeer) {
    this.#picked = { ok: true, peer };
  }

  select(): Selection {
    return this;
  }

  next(): Picked {
    return this.#picked;
  }
}

/** The addresses of a name, one after the other. */
class NamedSource implements PeerSource {
  readonly #host: string;
  readonly #port: number;
  readonly #tools: BalancingTools & { readonly resolver: Resolver };
  #answer: DnsAnswer | undefined;
  #turns: RoundRobin | undefined;

  constructor(
    host: string,
    port: number,
    tools: BalancingTools & { readonly resolver: Resolver },
  ) {
    this.#host = host;
    this.#port = port;
    this.#tools = tools;
  }

  select(): Selection {
    const tried = new Set<Peer>();
    return { setCookie: undefined, next: () => this.#next(tried) };
  }

  #next(tried: Set<Peer>): Picked | Promise<Picked> {
    const answer = this.#tools.resolver.lookup(this.#host);
    return answer instanceof Promise
      ? answer.then((late) => this.#pick(late, tried))
      : this.#pick(answer, tried);
  }

  #pick(answer: DnsAnswer, tried: Set<Peer>): Picked {
    if (!answer.ok) return { ok: false, failure: lookupFailure(answer) };
    if (answer !== this.#answer || this.#turns === undefined) {
      this.#answer = answer;
      const peers = answer.addresses.map((found) => this.#peer(found));
      this.#turns = new RoundRobin(peers, this.#tools.random);
    }
    const peer = this.#turns.pick(tried) ?? this.#turns.pick(NONE);
    if (peer?.address === undefined)
      return {
        ok: false,
        failure: lookupFailure({
          ok: false,
          missing: true,
          detail: `${this.#host} has no address`,
        }),
      };
    tried.add(peer);
    return {
      ok: true,
      peer: new PlainPeer(this.#host, peer.address, peer.port),
    };
  }

  #peer({
    address,
    service,
  }: Extract<DnsAnswer, { ok: true }>["addresses"][number]): Peer {
    const port = service?.port ?? this.#port;
    const key = {
      upstream: "",
      target: "",
      address: addressText(address, port),
    };
    return {
      name: this.#host,
      address,
      port,
      weight: service?.weight ?? 1,
      state: new AddressState(key),
    };
  }
}

const NONE: ReadonlySet<Peer> = new Set();
