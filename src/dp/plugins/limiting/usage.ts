import type { SharedCounters } from "../counters.ts";

/** One counter, with what may be added to it. */
export interface UsageStep {
  readonly key: string;
  /** What is added; 0 only reads. */
  readonly by: number;
  /** Nothing is added to any of the counters when this one has so much already. */
  readonly limit: number;
  /** When the counter ends, in milliseconds since the Unix epoch. */
  readonly expiresMs: number;
}

/** What was used before. */
export interface Usage {
  /** Whether all was added; else nothing was. */
  readonly taken: boolean;
  readonly before: readonly number[];
}

/** Where use is counted. */
export interface UsageStore {
  /** Adds to all counters if none of them is at its limit. Rejects when nobody can tell. */
  take(steps: readonly UsageStep[]): Promise<Usage>;
  /** Present when there is something to let go of. */
  close?(): Promise<void>;
}

/** Counts in this data plane alone. */
export class LocalUsage implements UsageStore {
  readonly #counters: SharedCounters;
  readonly #owner: string;

  /** @param owner The configured plugin that counts. */
  constructor(counters: SharedCounters, owner: string) {
    this.#counters = counters;
    this.#owner = owner;
  }

  async take(steps: readonly UsageStep[]): Promise<Usage> {
    const owner = this.#owner;
    const after = await this.#counters.add(
      steps.map(({ key, by, expiresMs }) => ({ key, owner, by, expiresMs })),
    );
    const before = steps.map(({ by }, i) => (after[i] ?? 0) - by);
    const taken = steps.every(({ limit }, i) => (before[i] ?? 0) < limit);
    // Adding first and taking back is exact, however many ask at once; looking first would let some of them through.
    if (!taken && steps.some(({ by }) => by > 0))
      await this.#counters.add(
        steps.map(({ key, by, expiresMs }) => ({
          key,
          owner,
          by: -by,
          expiresMs,
        })),
      );
    return { taken, before };
  }
}
