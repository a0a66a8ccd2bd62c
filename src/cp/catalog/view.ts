import type { Slices } from "../../model/slices.ts";
import { SLICE_ENTRIES } from "../../model/slices.ts";
import { Snapshot } from "../../model/snapshot.ts";
import { factsOfValue } from "./fact-scanner.ts";
import { PackedIndex } from "./packed-index.ts";
import { PinnedView } from "./pinned-view.ts";
import { decodeResource, factsOf, type Facts } from "./resource.ts";
import { SortedKeys } from "./sorted-keys.ts";

/** A state of a workspace that can be asked by unique keys and by what refers to what. */
export interface View {
  /** How many entries there are. */
  readonly entryCount: number;
  /** The value of an entry. */
  get(key: string): Uint8Array | undefined;
  /** The key of the entry that claims a unique key. */
  owner(uniqueKey: string): string | undefined;
  /** The keys of the entries that refer to an entry. */
  referrers(key: string): Iterable<string>;
  /** The keys of all entries. */
  keys(): Iterable<string>;
}

/** The durable state, indexed. What is kept of an entry beside its value are its key, its unique keys and references, packed. */
export class CommittedView implements View {
  #snapshot: Snapshot;
  #keys: SortedKeys;
  readonly #owners: PackedIndex;
  readonly #referrers: PackedIndex;
  readonly #pins = new Set<PinnedView>();

  private constructor(
    snapshot: Snapshot,
    keys: SortedKeys,
    owners: PackedIndex,
    referrers: PackedIndex,
  ) {
    this.#snapshot = snapshot;
    this.#keys = keys;
    this.#owners = owners;
    this.#referrers = referrers;
  }

  /** Indexes a snapshot. With its keys in ascending order it takes less. */
  static *ofSlices(
    snapshot: Snapshot,
    ascending?: Iterable<string>,
  ): Slices<CommittedView> {
    // First, and so that what it took is gone before the rest is read.
    const keys =
      ascending === undefined
        ? yield* SortedKeys.ofSlices(keysOf(snapshot))
        : yield* SortedKeys.ofAscendingSlices(ascending);
    const owners = PackedIndex.loader();
    const referrers = PackedIndex.loader();
    let handled = 0;
    for (const { key, value } of snapshot.entries()) {
      const facts = factsOfValue(value);
      for (const { key: unique } of facts.unique) owners.add(unique, key);
      for (const referred of facts.refers) referrers.add(referred, key);
      if (++handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    return new CommittedView(
      snapshot,
      keys,
      yield* owners.finishSlices(),
      yield* referrers.finishSlices(),
    );
  }

  get entryCount(): number {
    return this.#snapshot.entryCount;
  }

  get(key: string): Uint8Array | undefined {
    return this.#snapshot.get(key);
  }

  owner(uniqueKey: string): string | undefined {
    return this.#owners.first(uniqueKey);
  }

  referrers(key: string): Iterable<string> {
    return this.#referrers.all(key);
  }

  keys(): Iterable<string> {
    return this.#keys;
  }

  /** The keys of all entries, in a set that stays as it is. */
  get sortedKeys(): SortedKeys {
    return this.#keys;
  }

  /** What it answers now, and goes on answering whatever is absorbed. Not while something is. */
  pin(): PinnedView {
    const state = { snapshot: this.#snapshot, keys: this.#keys };
    const pinned: PinnedView = new PinnedView(this, state, () =>
      this.#pins.delete(pinned),
    );
    this.#pins.add(pinned);
    return pinned;
  }

  /**
   * Takes in what a layer on top of this view changed. Readers use the layer until this is done: the layer's answers
   * hide what is half done here.
   */
  *absorbSlices(
    layer: Layer,
    snapshot: Snapshot,
    keys: SortedKeys,
  ): Slices<void> {
    let handled = 0;
    for (const [unique, owner] of layer.owners) {
      const before = this.#owners.first(unique);
      for (const pinned of this.#pins) pinned.keepOwner(unique);
      if (owner !== undefined) this.#owners.set(unique, owner);
      else if (before !== undefined) this.#owners.delete(unique, before);
      if (++handled % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
    }
    for (const [key, referrers] of layer.references)
      for (const [referrer, present] of referrers) {
        for (const pinned of this.#pins) pinned.keepReferrers(key);
        if (present) this.#referrers.add(key, referrer);
        else this.#referrers.delete(key, referrer);
        if (++handled % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
      }
    this.#snapshot = snapshot;
    this.#keys = keys;
  }

  /** All indexes, for comparing them in tests: what they answer for the content, and that they hold nothing else. */
  indexes(): {
    readonly owners: ReadonlyMap<string, string>;
    readonly referrers: ReadonlyMap<string, ReadonlySet<string>>;
    readonly keys: readonly string[];
  } {
    const owners = new Map<string, string>();
    const referrers = new Map<string, ReadonlySet<string>>();
    let references = 0;
    for (const { value } of this.#snapshot.entries()) {
      const { unique, refers } = factsOf(decodeResource(value));
      for (const { key } of unique) {
        const owner = this.owner(key);
        if (owner !== undefined) owners.set(key, owner);
      }
      for (const key of refers) {
        if (referrers.has(key)) continue;
        const all = new Set(this.referrers(key));
        referrers.set(key, all);
        references += all.size;
      }
    }
    if (owners.size !== this.#owners.size)
      throw new Error(
        `${this.#owners.size} unique keys are indexed, and the content claims ${owners.size}`,
      );
    if (references !== this.#referrers.size)
      throw new Error(
        `${this.#referrers.size} references are indexed, and the content has ${references}`,
      );
    return { owners, referrers, keys: [...this.#keys] };
  }
}

function* keysOf(snapshot: Snapshot): Generator<string, void, undefined> {
  for (const [, bucket] of snapshot.buckets())
    for (let i = 0; i < bucket.count; i++) yield bucket.keyAt(i);
}

/** A unique key that more than one entry claimed within one layer, and who they are. */
export type Contested = ReadonlyMap<string, ReadonlySet<string>>;

/** Changes on top of another view, which they leave as it is. */
export class Layer implements View {
  readonly #below: View;
  readonly #entries = new Map<string, Uint8Array | undefined>();
  readonly #owners = new Map<string, string | undefined>();
  readonly #references = new Map<string, Map<string, boolean>>();
  readonly #contested = new Map<string, Set<string>>();
  #entryCount: number;

  constructor(below: View) {
    this.#below = below;
    this.#entryCount = below.entryCount;
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  /** The entries set in this layer; undefined for those deleted. Equal to what is below for some. */
  get entries(): ReadonlyMap<string, Uint8Array | undefined> {
    return this.#entries;
  }

  /** The unique keys that have another owner than below, or none. */
  get owners(): ReadonlyMap<string, string | undefined> {
    return this.#owners;
  }

  /** For each entry the referrers that came or went. */
  get references(): ReadonlyMap<string, ReadonlyMap<string, boolean>> {
    return this.#references;
  }

  /** What was claimed by several at some time. Whether it still is, `holds` says. */
  get contested(): Contested {
    return this.#contested;
  }

  get(key: string): Uint8Array | undefined {
    return this.#entries.has(key)
      ? this.#entries.get(key)
      : this.#below.get(key);
  }

  owner(uniqueKey: string): string | undefined {
    return this.#owners.has(uniqueKey)
      ? this.#owners.get(uniqueKey)
      : this.#below.owner(uniqueKey);
  }

  *referrers(key: string): Generator<string, void, undefined> {
    const changed = this.#references.get(key);
    for (const referrer of this.#below.referrers(key))
      if (changed?.get(referrer) !== false) yield referrer;
    if (changed === undefined) return;
    const below = new Set(this.#below.referrers(key));
    for (const [referrer, present] of changed)
      if (present && !below.has(referrer)) yield referrer;
  }

  *keys(): Generator<string, void, undefined> {
    for (const key of this.#below.keys())
      if (!this.#entries.has(key) || this.#entries.get(key) !== undefined)
        yield key;
    for (const [key, value] of this.#entries)
      if (value !== undefined && this.#below.get(key) === undefined) yield key;
  }

  /** Replaces an entry, or deletes it when there is no value. */
  set(key: string, value: Uint8Array | undefined, facts?: Facts): void {
    const before = this.get(key);
    if (before !== undefined) {
      const old = factsOfValue(before);
      for (const unique of old.unique) this.#release(unique.key, key);
      for (const referred of old.refers) this.#refer(referred, key, false);
    }
    this.#entries.set(key, value);
    this.#entryCount +=
      (value === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
    if (value === undefined) return;
    const now = facts ?? factsOf(decodeResource(value));
    for (const unique of now.unique) this.#claim(unique.key, key);
    for (const referred of now.refers) this.#refer(referred, key, true);
  }

  /** Whether an entry, as it is now, claims a unique key. */
  holds(key: string, uniqueKey: string): boolean {
    const value = this.get(key);
    return (
      value !== undefined &&
      factsOf(decodeResource(value)).unique.some(
        (unique) => unique.key === uniqueKey,
      )
    );
  }

  /** Puts this layer's changes into the one below. Nothing may be contested any more. */
  *mergeSlices(into: Layer): Slices<void> {
    let handled = 0;
    for (const [key, value] of this.#entries) {
      into.#entries.set(key, value);
      if (++handled % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
    }
    for (const [unique, owner] of this.#owners) {
      into.#owners.set(unique, owner);
      if (++handled % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
    }
    for (const [key, referrers] of this.#references)
      for (const [referrer, present] of referrers) {
        into.#refer(key, referrer, present);
        if (++handled % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
      }
    into.#entryCount = this.#entryCount;
  }

  #claim(uniqueKey: string, key: string): void {
    const owner = this.owner(uniqueKey);
    if (owner !== undefined && owner !== key) {
      const claimants = this.#contested.get(uniqueKey);
      if (claimants === undefined)
        this.#contested.set(uniqueKey, new Set([owner, key]));
      else claimants.add(owner).add(key);
    }
    this.#owners.set(uniqueKey, key);
  }

  #release(uniqueKey: string, key: string): void {
    if (this.owner(uniqueKey) !== key) return;
    // Whoever claimed it too, and still does, has it now.
    for (const other of this.#contested.get(uniqueKey) ?? [])
      if (other !== key && this.holds(other, uniqueKey)) {
        this.#owners.set(uniqueKey, other);
        return;
      }
    this.#owners.set(uniqueKey, undefined);
  }

  #refer(key: string, referrer: string, present: boolean): void {
    let referrers = this.#references.get(key);
    if (referrers === undefined)
      this.#references.set(key, (referrers = new Map<string, boolean>()));
    referrers.set(referrer, present);
  }
}
