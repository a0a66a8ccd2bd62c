import xxhash from "xxhash-wasm";
import type { Balancing, Peer } from "./balancing.ts";

const hasher = await xxhash();

/** Places on the ring of a peer of average weight; halved until all together are not too many. */
const POINTS = 160;
/** Making more places than this would hold the event loop up. */
const MAX_PLACES = 32_768;
/** Slots of the smallest ring. */
const MIN_SLOTS = 1000;
/** The second hash of a place: who has it when several want it. */
const CONTEST_SEED = 0x5bd1e995;

/** The hash of what a request is told apart by. */
export function hashOf(text: string): number {
  return hasher.h32(text);
}

/**
 * Sends requests with the same hash to the same peer. Each peer has places on a ring of slots, in proportion to its
 * weight; a request belongs to the first place at or before its own slot whose peer is available. The ring depends on
 * nothing but the peers and the number of slots, so it is the same in every process, and a peer that goes takes only its
 * own requests along.
 */
export class ConsistentHashing implements Balancing {
  readonly #random: () => number;
  /** For each slot the peer that has it; undefined for none. */
  #slots: readonly (Peer | undefined)[] | undefined;
  readonly #peers: readonly Peer[];
  readonly #count: number;
  #available: ReadonlySet<Peer>;

  constructor(
    peers: readonly Peer[],
    options: { readonly slots: number; readonly random: () => number },
  ) {
    this.#random = options.random;
    this.#peers = peers;
    this.#count = Math.max(MIN_SLOTS, options.slots);
    this.#available = new Set(peers);
  }

  setAvailable(available: readonly Peer[]): void {
    this.#available = new Set(available);
  }

  peek(hash: number | undefined): Peer | undefined {
    // What has no hash goes anywhere.
    return hash === undefined ? undefined : this.pick(new Set(), hash);
  }

  pick(tried: ReadonlySet<Peer>, hash: number | undefined): Peer | undefined {
    const available = this.#available;
    if (available.size === 0) return undefined;
    // Not before it is needed: a configuration may have thousands of upstreams.
    const slots = (this.#slots ??= ring(this.#peers, this.#count));
    let slot =
      hash === undefined
        ? Math.floor(this.#random() * slots.length)
        : hash % slots.length;
    let steps = tried.size < available.size ? slots.length : 0;
    while (steps-- > 0) {
      const peer = slots[slot];
      if (peer !== undefined && available.has(peer) && !tried.has(peer))
        return peer;
      slot = slot === 0 ? slots.length - 1 : slot - 1;
    }
    // With very many peers one may have no place at all: it serves rather than nobody.
    return [...available].find((peer) => !tried.has(peer));
  }
}

function ring(peers: readonly Peer[], count: number): (Peer | undefined)[] {
  const slots = Array.from<Peer | undefined>({ length: count }).fill(undefined);
  const strengths = new Uint32Array(count);
  const total = peers.reduce((sum, { weight }) => sum + weight, 0);
  let average = POINTS;
  while (
    average > 1 &&
    average * peers.length > Math.min(2 * count, MAX_PLACES)
  )
    average /= 2;
  // Always in the same order: two that want a place equally much are told apart by nothing else.
  const sorted = [...peers].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  for (const peer of sorted) {
    const name = nameOf(peer);
    const share = (peer.weight / total) * peers.length;
    const points = Math.max(1, Math.round(share * average));
    for (let i = 1; i <= points; i++) {
      const point = `${name} #${i}`;
      const slot = hasher.h32(point) % count;
      const strength = hasher.h32(point, CONTEST_SEED);
      if (slots[slot] !== undefined && strength <= (strengths[slot] ?? 0))
        continue;
      slots[slot] = peer;
      strengths[slot] = strength;
    }
  }
  return slots;
}

function nameOf({ state }: Peer): string {
  return `${state.key.target} ${state.key.address}`;
}
