import type { Balancing, Peer } from "./balancing.ts";

/** A peer's place in the round. */
interface Turn {
  readonly peer: Peer;
  /** Requests of this round that it has had; never more than its weight. */
  had: number;
  /** When it was last picked, counted in picks; before that, its place in the order. */
  last: number;
}

/**
 * Deals requests out in proportion to the weights, as evenly as whole requests allow: in every round each peer gets as
 * many as its weight says, and a heavy one does not get them in one go. A heap holds the peer whose next request is due
 * first at the top.
 */
export class RoundRobin implements Balancing {
  readonly #turns: readonly Turn[];
  /** Of those that are available. */
  #heap: Turn[] = [];
  #picks = 0;

  /** @param random Each data plane and each worker begins with another peer. */
  constructor(peers: readonly Peer[], random: () => number) {
    const order = shuffled(peers, random);
    this.#turns = order.map((peer, i) => ({
      peer,
      had: 0,
      last: i - order.length,
    }));
    this.setAvailable(peers);
  }

  setAvailable(available: readonly Peer[]): void {
    const open = new Set(available);
    const stayed = new Set(this.#heap);
    // How far the round is: one that comes back joins there, and does not catch up on what it has missed.
    let progress = 0;
    for (const { peer, had } of this.#heap)
      progress = Math.max(progress, had / peer.weight);
    const heap = this.#turns.filter(({ peer }) => open.has(peer));
    for (const turn of heap)
      if (!stayed.has(turn))
        turn.had = Math.min(
          turn.peer.weight,
          Math.floor(progress * turn.peer.weight),
        );
    this.#heap = heap;
    for (let i = (heap.length >> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  pick(tried: ReadonlySet<Peer>): Peer | undefined {
    const turn =
      tried.size === 0 ? this.#heap[0] : this.#firstBut(tried, this.#heap);
    if (turn === undefined) return undefined;
    if (turn.had >= turn.peer.weight) this.#newRound();
    turn.had++;
    turn.last = this.#picks++;
    // Only with peers that were tried it is another than the first.
    this.#sink(this.#heap[0] === turn ? 0 : this.#heap.indexOf(turn));
    return turn.peer;
  }

  peek(): Peer | undefined {
    return this.#heap[0]?.peer;
  }

  /** The first that was not tried. Rare, so all are looked at. */
  #firstBut(
    tried: ReadonlySet<Peer>,
    turns: readonly Turn[],
  ): Turn | undefined {
    let first: Turn | undefined;
    for (const turn of turns)
      if (!tried.has(turn.peer) && (first === undefined || before(turn, first)))
        first = turn;
    return first;
  }

  /** All have had their share, or would have if they had not failed. */
  #newRound(): void {
    for (const turn of this.#heap) turn.had = 0;
    for (let i = (this.#heap.length >> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  #sink(at: number): void {
    const heap = this.#heap;
    const turn = heap[at];
    if (turn === undefined) return;
    let i = at;
    for (;;) {
      let child = 2 * i + 1;
      let least = heap[child];
      if (least === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && before(right, least)) {
        least = right;
        child++;
      }
      if (!before(least, turn)) break;
      heap[i] = least;
      i = child;
    }
    heap[i] = turn;
  }
}

/** Whether a's next request is due before b's: compared in whole numbers, so that a round comes out exactly. */
function before(a: Turn, b: Turn): boolean {
  const left = (a.had + 1) * b.peer.weight;
  const right = (b.had + 1) * a.peer.weight;
  return left === right ? a.last < b.last : left < right;
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const [a, b] = [order[i], order[j]];
    if (a === undefined || b === undefined) continue;
    order[i] = b;
    order[j] = a;
  }
  return order;
}
