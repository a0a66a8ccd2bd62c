import type { Clock } from "../../../../runtime/clock.ts";
import type { Logger } from "../../../../runtime/logger.ts";
import { AddressState, type AddressKey } from "./address-state.ts";
import { isChecked, type HealthRules } from "./health-rules.ts";
import {
  CONDEMNED,
  judge,
  UNJUDGED,
  type HealthOutcome,
  type Judgement,
} from "./judgement.ts";

/** Something that was found out about an address, for other processes of this node to hear. Plain data. */
export interface HealthEvent extends AddressKey {
  /** What was observed; absent when only the state is told. */
  readonly observed?: {
    readonly by: "active" | "passive";
    readonly outcome: HealthOutcome;
  };
  /** The state it has from now on; absent when only something was counted. */
  readonly state?: "healthy" | "unhealthy";
}

/** The health of an upstream's addresses. */
interface Entry {
  /** Undefined until the upstream is served here: other processes may be ahead. */
  rules: HealthRules | undefined;
  name: string;
  /** Goes up with every change of any state. */
  version: number;
  readonly addresses: Map<string, AddressState>;
}

/** States that nobody has a use for are kept this long: an upstream or an address may come back. */
const KEPT_MS = 300_000;

/**
 * How the addresses of all upstreams are doing, as far as this process has seen or was told. One a process; it outlives
 * the revisions that it serves.
 */
export class UpstreamHealth {
  /**
   * Whether this process sends probes. Of several that share what they see, one is enough: those that do not send any
   * have the others' observations from `observe`.
   */
  probing = true;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(event: HealthEvent) => void>();

  constructor({
    clock,
    logger,
  }: {
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /**
   * Tells what this process finds out itself, as far as it changes a count or a state, until the returned function is
   * called. What was told by `observe` is not told again.
   */
  onObserved(listener: (event: HealthEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes over what another process has found out. */
  observe(event: HealthEvent): void {
    const entry = this.#entry(event.upstream);
    const address = this.#address(entry, event);
    if (event.state !== undefined)
      this.#settle(
        entry,
        address,
        event.state === "healthy" ? UNJUDGED : CONDEMNED,
      );
    else if (event.observed !== undefined && entry.rules !== undefined) {
      const { by, outcome } = event.observed;
      const { thresholds } = entry.rules[by];
      this.#settle(
        entry,
        address,
        judge(address.judgement, outcome, thresholds),
      );
    }
  }

  /** The states of all addresses that are not healthy, for a process that has just begun: see `observe`. */
  states(): HealthEvent[] {
    return [...this.#entries.values()].flatMap(({ addresses }) =>
      [...addresses.values()]
        .filter(({ healthy }) => !healthy)
        .map(({ key }) => ({ ...key, state: "unhealthy" as const })),
    );
  }

  /** Judges an upstream's addresses by these rules from now on. Without checks all of them are healthy. */
  setRules(upstream: string, name: string, rules: HealthRules): void {
    const entry = this.#entry(upstream);
    entry.rules = rules;
    entry.name = name;
    if (isChecked(rules)) return;
    for (const address of entry.addresses.values())
      this.#settle(entry, address, UNJUDGED);
  }

  /** What is known of an address; made when there is nothing yet. */
  address(key: AddressKey): AddressState {
    return this.#address(this.#entry(key.upstream), key);
  }

  /** Another number whenever the state of any address of the upstream is another. */
  version(upstream: string): number {
    return this.#entries.get(upstream)?.version ?? 0;
  }

  /** Counts what this process has observed. */
  report(
    address: AddressState,
    by: "active" | "passive",
    outcome: HealthOutcome,
  ): void {
    const entry = this.#entry(address.key.upstream);
    if (entry.rules === undefined) return;
    const before = address.judgement;
    const after = judge(before, outcome, entry.rules[by].thresholds);
    if (after === before) return;
    this.#settle(entry, address, after);
    if (this.#listeners.size === 0) return;
    const { healthy } = after;
    const event: HealthEvent = {
      ...address.key,
      observed: { by, outcome },
      ...(healthy === before.healthy
        ? {}
        : { state: healthy ? "healthy" : "unhealthy" }),
    };
    for (const listener of this.#listeners) listener(event);
  }

  /**
   * Forgets what nobody has had a use for during the last minutes.
   *
   * @param used The addresses that are used at this moment, of an upstream that is served; undefined for one that is not.
   */
  sweep(
    used: (upstream: string) => ReadonlySet<AddressState> | undefined,
  ): void {
    const nowMs = this.#clock.monotonic();
    for (const [upstream, entry] of this.#entries) {
      const served = used(upstream);
      for (const [name, address] of entry.addresses)
        if (address.requests > 0 || served?.has(address) === true)
          address.usedMs = nowMs;
        else if (nowMs - address.usedMs > KEPT_MS) entry.addresses.delete(name);
      if (served === undefined && entry.addresses.size === 0)
        this.#entries.delete(upstream);
    }
  }

  #entry(upstream: string): Entry {
    let entry = this.#entries.get(upstream);
    if (entry === undefined) {
      entry = {
        rules: undefined,
        name: upstream,
        version: 0,
        addresses: new Map(),
      };
      this.#entries.set(upstream, entry);
    }
    return entry;
  }

  #address(entry: Entry, key: AddressKey): AddressState {
    const { upstream, target, address } = key;
    const name = `${target}|${address}`;
    let state = entry.addresses.get(name);
    if (state === undefined) {
      // A new object: what came from outside may have more than belongs here.
      state = new AddressState({ upstream, target, address });
      state.usedMs = this.#clock.monotonic();
      entry.addresses.set(name, state);
    }
    return state;
  }

  #settle(entry: Entry, address: AddressState, after: Judgement): void {
    const was = address.judgement.healthy;
    address.judgement = after;
    if (was === after.healthy) return;
    entry.version++;
    const { target, address: at } = address.key;
    const line = { upstream: entry.name, target, address: at };
    if (after.healthy) this.#logger.info("target.healthy", line);
    else this.#logger.warn("target.unhealthy", line);
  }
}
