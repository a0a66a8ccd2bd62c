/** One address behind an upstream. */
export interface BalancerTarget {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** More than 0. */
  readonly weight: number;
}

/**
 * Deals requests out to targets in proportion to their weights, as evenly as whole requests allow (smooth weighted
 * round-robin). Upstreams with another algorithm are dealt out like this too: nobody goes without an answer, only the
 * choice of the target is another; `compile` warns about each such upstream.
 */
export class Balancer {
  /** Equal for balancers with the same targets and weights. */
  readonly signature: string;
  readonly #targets: readonly BalancerTarget[];
  /** How much each target is owed; they add up to 0 between picks. */
  readonly #owed: Float64Array;
  readonly #total: number;

  /**
   * @param targets Those with a weight of 0 get nothing.
   * @param random Returns a number from 0 to below 1: each data plane begins somewhere else in the round.
   */
  constructor(targets: readonly BalancerTarget[], random: () => number) {
    this.signature = signatureOf(targets);
    const open = targets.filter(({ weight }) => weight > 0);
    this.#targets = shuffle(open, random);
    this.#owed = new Float64Array(open.length);
    this.#total = open.reduce((sum, { weight }) => sum + weight, 0);
  }

  /**
   * The target of the next request, undefined when there is none.
   *
   * @param tried Targets that have failed this request: they are taken again only when there is no other.
   */
  pick(tried: ReadonlySet<BalancerTarget>): BalancerTarget | undefined {
    if (tried.size >= this.#targets.length) return this.#next(new Set());
    return this.#next(tried);
  }

  #next(tried: ReadonlySet<BalancerTarget>): BalancerTarget | undefined {
    let best = -1;
    for (const [i, target] of this.#targets.entries()) {
      const owed = (this.#owed[i] ?? 0) + target.weight;
      this.#owed[i] = owed;
      if (!tried.has(target) && (best < 0 || owed > (this.#owed[best] ?? 0)))
        best = i;
    }
    const picked = this.#targets[best];
    if (picked !== undefined)
      this.#owed[best] = (this.#owed[best] ?? 0) - this.#total;
    return picked;
  }
}

/** Names a set of targets with their weights, in whatever order they come. */
export function signatureOf(targets: readonly BalancerTarget[]): string {
  return targets
    .map(({ host, port, weight }) => `${host}|${port}|${weight}`)
    .sort()
    .join(",");
}

function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const a = shuffled[i];
    const b = shuffled[j];
    if (a === undefined || b === undefined) continue;
    shuffled[i] = b;
    shuffled[j] = a;
  }
  return shuffled;
}
