import type { AddressState } from "../health/address-state.ts";
import type { Balancing, BalancingTools, Peer } from "./balancing.ts";

/** What was measured counts for 1/e after this long. */
const DECAY_MS = 10_000;

/**
 * Chooses the quicker of two peers drawn at random. How quick one is, is a moving average of the times that it took to
 * answer, of which a peak shows at once and is forgotten slowly; a heavier one may take longer in proportion.
 */
export class LowestLatency implements Balancing {
  readonly #tools: BalancingTools;
  #peers: readonly Peer[];

  constructor(peers: readonly Peer[], tools: BalancingTools) {
    this.#peers = peers;
    this.#tools = tools;
  }

  setAvailable(available: readonly Peer[]): void {
    this.#peers = available;
  }

  peek(): Peer | undefined {
    return this.#peers.length === 1 ? this.#peers[0] : undefined;
  }

  pick(tried: ReadonlySet<Peer>): Peer | undefined {
    const peers =
      tried.size === 0
        ? this.#peers
        : this.#peers.filter((peer) => !tried.has(peer));
    const { random, nowMs } = this.#tools;
    const one = Math.floor(random() * peers.length);
    const a = peers[one];
    if (a === undefined || peers.length === 1) return a;
    const other = Math.floor(random() * (peers.length - 1));
    const b = peers[other < one ? other : other + 1];
    if (b === undefined) return a;
    const now = nowMs();
    return cost(b, now) < cost(a, now) ? b : a;
  }
}

/** One that was never asked costs nothing: it is asked next. */
function cost({ state, weight }: Peer, nowMs: number): number {
  if (state.latencyMs === undefined) return 0;
  return (
    (state.latencyMs * decay(state, nowMs) * (state.requests + 1)) / weight
  );
}

/** Counts how long an address took to answer. */
export function addLatency(
  state: AddressState,
  latencyMs: number,
  nowMs: number,
): void {
  const before = state.latencyMs;
  const kept = decay(state, nowMs);
  state.latencyMs =
    before === undefined || latencyMs > before * kept
      ? latencyMs
      : before * kept + latencyMs * (1 - kept);
  state.latencyAtMs = nowMs;
}

function decay({ latencyAtMs }: AddressState, nowMs: number): number {
  return Math.exp(-Math.max(0, nowMs - latencyAtMs) / DECAY_MS);
}
