import { LRUCache } from "lru-cache";
import type { EntryTimes } from "./store.ts";

/** Entries whose times are kept in memory: a few hundred bytes each. */
const KEPT = 4_096;
/** Entries written at once of which none is kept: taking them up would hold up others, and large writes are not often repeated. */
const MANY = 512;

/**
 * The times of what was written last, by their keys in the database. What is changed is often changed again, and its times
 * are part of the answer: reading them back would be one more trip to the database for each change.
 */
export class KnownTimes {
  readonly #times = new LRUCache<string, EntryTimes>({ max: KEPT });

  /** As they are on disk; undefined when only the disk knows. */
  get(key: string): EntryTimes | undefined {
    return this.#times.get(key);
  }

  /** Takes up what is on disk from now on; undefined for what is not there any more. */
  took(written: ReadonlyMap<string, EntryTimes | undefined>): void {
    if (written.size > MANY) {
      this.clear();
      return;
    }
    for (const [key, times] of written)
      if (times === undefined) this.#times.delete(key);
      else this.#times.set(key, times);
  }

  /** Believes nothing any more. */
  clear(): void {
    this.#times.clear();
  }
}
