import type { Balancing, Peer } from "./balancing.ts";

/**
 * Chooses the peer with the fewest requests under way for its weight. Those of other revisions and of requests that have
 * been answered but not ended count. Among equals one comes after the other.
 */
export class LeastConnections implements Balancing {
  #peers: readonly Peer[];
  #next: number;

  constructor(peers: readonly Peer[], random: () => number) {
    this.#peers = peers;
    this.#next = Math.floor(random() * peers.length);
  }

  setAvailable(available: readonly Peer[]): void {
    this.#peers = available;
  }

  peek(): Peer | undefined {
    const next = this.#next;
    const peer = this.pick(new Set());
    this.#next = next;
    return peer;
  }

  pick(tried: ReadonlySet<Peer>): Peer | undefined {
    const peers = this.#peers;
    let best: Peer | undefined;
    let bestAt = 0;
    let load = Infinity;
    for (let i = 0; i < peers.length; i++) {
      const at = (this.#next + i) % peers.length;
      const peer = peers[at];
      if (peer === undefined || tried.has(peer)) continue;
      const own = (peer.state.requests + 1) / peer.weight;
      if (own >= load) continue;
      [best, bestAt, load] = [peer, at, own];
    }
    this.#next = bestAt + 1;
    return best;
  }
}
