import type { Snapshot } from "../../model/snapshot.ts";
import type { SortedKeys } from "./sorted-keys.ts";
import type { View } from "./view.ts";

/** What is asked for all that has not changed since. */
type Below = Pick<View, "owner" | "referrers">;

/**
 * The durable state as it was at one moment, for work that goes on beside the writes. Content and keys never change; of
 * the indexes, which do, it is told what they answered before each change.
 */
export class PinnedView implements View {
  readonly #below: Below;
  readonly #snapshot: Snapshot;
  readonly #keys: SortedKeys;
  readonly #owners = new Map<string, string | undefined>();
  readonly #referrers = new Map<string, readonly string[]>();
  readonly #onRelease: () => void;

  constructor(
    below: Below,
    state: { readonly snapshot: Snapshot; readonly keys: SortedKeys },
    onRelease: () => void,
  ) {
    this.#below = below;
    this.#snapshot = state.snapshot;
    this.#keys = state.keys;
    this.#onRelease = onRelease;
  }

  get entryCount(): number {
    return this.#snapshot.entryCount;
  }

  get(key: string): Uint8Array | undefined {
    return this.#snapshot.get(key);
  }

  owner(uniqueKey: string): string | undefined {
    return this.#owners.has(uniqueKey)
      ? this.#owners.get(uniqueKey)
      : this.#below.owner(uniqueKey);
  }

  /** All at once: what is below may change before they are used. */
  referrers(key: string): readonly string[] {
    return this.#referrers.get(key) ?? [...this.#below.referrers(key)];
  }

  keys(): Iterable<string> {
    return this.#keys;
  }

  /** A unique key is about to get another owner below. */
  keepOwner(uniqueKey: string): void {
    if (!this.#owners.has(uniqueKey))
      this.#owners.set(uniqueKey, this.#below.owner(uniqueKey));
  }

  /** What refers to an entry is about to change below. */
  keepReferrers(key: string): void {
    if (!this.#referrers.has(key))
      this.#referrers.set(key, [...this.#below.referrers(key)]);
  }

  /** Must be called when it is not needed any more: until then every write costs a little more. */
  release(): void {
    this.#onRelease();
  }
}
