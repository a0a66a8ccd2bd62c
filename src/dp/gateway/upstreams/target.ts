import { isAddress } from "../../../model/hosts.ts";
import type { Peer } from "./balancing/balancing.ts";
import type { DnsAnswer } from "./dns/answer.ts";
import type { AddressState } from "./health/address-state.ts";
import type { UpstreamHealth } from "./health/upstream-health.ts";
import { addressText } from "./peer.ts";
import type {
  ConfiguredTarget,
  UpstreamSettings,
} from "./upstream-settings.ts";

/** A target of an upstream and the addresses that it has at the moment. */
export class Target {
  readonly host: string;
  readonly weight: number;
  /** "host:port" */
  readonly text: string;
  readonly #port: number;
  readonly #settings: UpstreamSettings;
  readonly #health: UpstreamHealth;
  #answer: DnsAnswer | undefined;
  #peers: readonly Peer[];

  constructor(
    { host, port, weight }: ConfiguredTarget,
    settings: UpstreamSettings,
    health: UpstreamHealth,
  ) {
    this.host = host;
    this.weight = weight;
    this.text = addressText(host, port);
    this.#port = port;
    this.#settings = settings;
    this.#health = health;
    this.#peers = this.isNamed ? [] : this.#peersOf([{ address: host }]);
  }

  /** Whether it has to be looked up. */
  get isNamed(): boolean {
    return !isAddress(this.host);
  }

  /** What looking it up came to; undefined before the first answer, and for an address. */
  get answer(): DnsAnswer | undefined {
    return this.#answer;
  }

  /** Its addresses, also those that get no requests. */
  get peers(): readonly Peer[] {
    return this.#peers;
  }

  /** Why there are none; undefined when nothing is wrong. */
  get trouble(): string | undefined {
    return this.#answer?.ok === false ? this.#answer.detail : undefined;
  }

  /** What it weighs with all of its addresses; of one that has none, what is configured. */
  get totalWeight(): number {
    return this.#peers.length === 0
      ? this.weight
      : this.#peers.reduce((sum, { weight }) => sum + weight, 0);
  }

  /** Its name stands for this from now on. */
  resolved(answer: DnsAnswer): void {
    this.#answer = answer;
    if (!answer.ok) this.#peers = [];
    else if (answer.volatile) this.#peers = [this.#volatilePeer()];
    else this.#peers = this.#peersOf(answer.addresses);
  }

  #peersOf(
    addresses: Extract<DnsAnswer, { readonly ok: true }>["addresses"],
  ): Peer[] {
    const { useSrvName } = this.#settings;
    return addresses.map(({ address, service }) => {
      const port = service?.port ?? this.#port;
      return {
        name: useSrvName && service !== undefined ? service.name : this.host,
        address,
        port,
        // A target without weight gets nothing, whatever its records say.
        weight: this.weight === 0 ? 0 : (service?.weight ?? this.weight),
        state: this.#state(addressText(address, port)),
      };
    });
  }

  /** For a name that is looked up for every request. */
  #volatilePeer(): Peer {
    return {
      name: this.host,
      address: undefined,
      port: this.#port,
      weight: this.weight,
      state: this.#state(this.text),
    };
  }

  #state(address: string): AddressState {
    const { id } = this.#settings;
    return this.#health.address({ upstream: id, target: this.text, address });
  }
}
