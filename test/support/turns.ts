/**
 * Counts work by turns of the event loop: how much of each sort was done in the turn that did most of it, and in all.
 * What is not done in slices shows as a turn with everything.
 */
export class Turns {
  readonly #now = new Map<string, number>();
  readonly #most = new Map<string, number>();
  readonly #total = new Map<string, number>();
  #immediate: NodeJS.Immediate | undefined;

  /** Notes work of a sort. */
  add(sort: string, count: number): void {
    if (this.#immediate === undefined) return;
    this.#now.set(sort, (this.#now.get(sort) ?? 0) + count);
  }

  /** Begins to count, from nothing. */
  start(): void {
    this.stop();
    for (const counts of [this.#now, this.#most, this.#total]) counts.clear();
    const turn = (): void => {
      this.#settle();
      this.#immediate = setImmediate(turn);
    };
    this.#immediate = setImmediate(turn);
  }

  stop(): void {
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
    this.#settle();
  }

  /** In the turn that did most. */
  most(sort: string): number {
    return this.#most.get(sort) ?? 0;
  }

  /** In all turns. */
  total(sort: string): number {
    return this.#total.get(sort) ?? 0;
  }

  #settle(): void {
    for (const [sort, count] of this.#now) {
      this.#most.set(sort, Math.max(count, this.most(sort)));
      this.#total.set(sort, this.total(sort) + count);
    }
    this.#now.clear();
  }
}
