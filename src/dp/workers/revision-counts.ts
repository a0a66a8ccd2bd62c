import type { RevisionCount } from "../gateway/counters.ts";

/** Adds up what several count. */
export class RevisionCounts {
  #counts = new Map<bigint, RevisionCount>();

  add(counts: readonly RevisionCount[]): void {
    for (const { revision, requests, errors } of counts) {
      const known = this.#counts.get(revision);
      this.#counts.set(revision, {
        revision,
        requests: requests + (known?.requests ?? 0n),
        errors: errors + (known?.errors ?? 0n),
      });
    }
  }

  /** What was added since this was last asked, ascending by revision. */
  take(): RevisionCount[] {
    const taken = [...this.#counts.values()];
    this.#counts = new Map();
    return taken.sort((a, b) => (a.revision < b.revision ? -1 : 1));
  }
}
