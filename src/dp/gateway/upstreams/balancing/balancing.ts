import type { AddressState } from "../health/address-state.ts";
import { ConsistentHashing } from "./consistent-hashing.ts";
import { LeastConnections } from "./least-connections.ts";
import { LowestLatency } from "./lowest-latency.ts";
import { RoundRobin } from "./round-robin.ts";

/** One address that requests are balanced over. */
export interface Peer {
  /** The target's host: what the address stands for. */
  readonly name: string;
  /** IPv6 without brackets; undefined when the name has to be looked up for every request. */
  readonly address: string | undefined;
  readonly port: number;
  /** More than 0. */
  readonly weight: number;
  readonly state: AddressState;
}

/** A way to choose among peers. */
export interface Balancing {
  /** From now on these take requests: some or all of those it was made for. */
  setAvailable(available: readonly Peer[]): void;
  /**
   * The peer for the next attempt; undefined when all that are available were tried.
   *
   * @param hash Of what the request is told apart by, 32 bits; undefined when there is nothing.
   */
  pick(tried: ReadonlySet<Peer>, hash: number | undefined): Peer | undefined;
  /** The peer that a first attempt would get now, without counting it as one; undefined where that is left to chance. */
  peek(hash: number | undefined): Peer | undefined;
}

export type Algorithm =
  "round-robin" | "least-connections" | "consistent-hashing" | "latency";

/** What all ways to choose are made with. */
export interface BalancingTools {
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Monotonic, in milliseconds. */
  readonly nowMs: () => number;
}

/** Makes the balancing of an upstream. All peers are available at first. */
export function balancing(
  algorithm: Algorithm,
  peers: readonly Peer[],
  options: BalancingTools & { readonly slots: number },
): Balancing {
  switch (algorithm) {
    case "round-robin":
      return new RoundRobin(peers, options.random);
    case "least-connections":
      return new LeastConnections(peers, options.random);
    case "consistent-hashing":
      return new ConsistentHashing(peers, options);
    case "latency":
      return new LowestLatency(peers, options);
    default:
      algorithm satisfies never;
      throw new TypeError("unknown algorithm");
  }
}
