/** What was served with one revision since the last time it was taken. */
export interface RevisionCount {
  readonly revision: bigint;
  readonly requests: bigint;
  /** Of these, how many got a status of 500 or more. */
  readonly errors: bigint;
}

/** Counts requests by the revision that served them. */
export class Counters {
  #counts = new Map<bigint, { requests: number; errors: number }>();

  /** Counts one request. */
  add(revision: bigint, status: number): void {
    let count = this.#counts.get(revision);
    if (count === undefined)
      this.#counts.set(revision, (count = { requests: 0, errors: 0 }));
    count.requests++;
    if (status >= 500) count.errors++;
  }

  /** What was counted since this was last asked, ascending by revision. */
  take(): RevisionCount[] {
    const taken = [...this.#counts].map(([revision, { requests, errors }]) => ({
      revision,
      requests: BigInt(requests),
      errors: BigInt(errors),
    }));
    this.#counts = new Map();
    return taken.sort((a, b) => (a.revision < b.revision ? -1 : 1));
  }
}
