import { Bucket, BUCKET_COUNT, bucketIndex, type Entry } from "./bucket.ts";
import { digestsOf, hashRoot, patchDigests, type Digests } from "./root.ts";
import { SLICE_ENTRIES, type Slices } from "./slices.ts";

/** The net difference of two snapshots: no key occurs twice. */
export interface Changes {
  readonly puts: readonly Entry[];
  readonly deletes: readonly string[];
}

type Buckets = readonly (Bucket | undefined)[];

/**
 * The whole content of a workspace at one moment. Immutable; snapshots made from one another share the buckets that did
 * not change.
 */
export class Snapshot {
  readonly workspace: string;
  /** Number of entries. */
  readonly entryCount: number;
  /** Plain bytes of all buckets. */
  readonly byteCount: number;
  readonly #buckets: Buckets;
  #digests: Digests | undefined;
  #root: string | undefined;

  private constructor(
    workspace: string,
    buckets: Buckets,
    counts: { readonly entries: number; readonly bytes: number },
    digests?: Digests,
  ) {
    this.workspace = workspace;
    this.#buckets = buckets;
    this.entryCount = counts.entries;
    this.byteCount = counts.bytes;
    this.#digests = digests;
  }

  /** The state at revision 0. */
  static empty(workspace: string): Snapshot {
    return new Snapshot(workspace, emptyBuckets(), { entries: 0, bytes: 0 });
  }

  /** A snapshot of these buckets, by index. */
  static ofBuckets(
    workspace: string,
    buckets: Iterable<readonly [index: number, bucket: Bucket]>,
  ): Snapshot {
    const all: (Bucket | undefined)[] = emptyBuckets();
    for (const [index, bucket] of buckets) {
      if (!(index in all)) throw new RangeError(`there is no bucket ${index}`);
      all[index] = bucket;
    }
    const counts = { entries: 0, bytes: 0 };
    for (const bucket of all) {
      counts.entries += bucket?.count ?? 0;
      counts.bytes += bucket?.bytes.length ?? 0;
    }
    return new Snapshot(workspace, all, counts);
  }

  /** The bucket with this index; undefined when it is empty. */
  bucket(index: number): Bucket | undefined {
    return this.#buckets[index];
  }

  /** The value of a key. */
  get(key: string): Uint8Array | undefined {
    return this.#buckets[bucketIndex(key)]?.get(key);
  }

  /** The buckets that are not empty, ascending. */
  *buckets(): Generator<readonly [index: number, bucket: Bucket]> {
    for (const [index, bucket] of this.#buckets.entries())
      if (bucket !== undefined) yield [index, bucket];
  }

  /** All entries, in no order that means anything. */
  *entries(): Generator<Entry, void, undefined> {
    for (const bucket of this.#buckets)
      if (bucket !== undefined) yield* bucket.entries();
  }

  /** The root in 64 hexadecimal digits. Computed once; `hashSlices` spreads the work. */
  get root(): string {
    if (this.#root === undefined) {
      const bytes =
        this.#digests === undefined
          ? digestsOf(this.buckets())
          : patchDigests(this.#digests, this.#buckets);
      this.#digests = { bytes, stale: [] };
      this.#root = hashRoot(this.workspace, bytes);
    }
    return this.#root;
  }

  /** Computes the root, pausing between buckets. */
  *hashSlices(): Slices<string> {
    let handled = 0;
    // Of a snapshot whose root was known only what changed since is to be looked at.
    const buckets =
      this.#digests === undefined
        ? this.#buckets
        : this.#digests.stale.map((index) => this.#buckets[index]);
    for (const bucket of buckets) {
      if (bucket === undefined || bucket.hashed) continue;
      if (bucket.hash.length > 0) handled += bucket.count;
      if (handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    return this.root;
  }

  /** This snapshot with changes made to it. Deleting a key that is not there changes nothing. */
  *applySlices(changes: Changes): Slices<Snapshot> {
    const edits = new Map<number, Map<string, Uint8Array | undefined>>();
    const edit = (key: string, value: Uint8Array | undefined): void => {
      const index = bucketIndex(key);
      let bucket = edits.get(index);
      if (bucket === undefined)
        edits.set(index, (bucket = new Map<string, Uint8Array | undefined>()));
      bucket.set(key, value);
    };
    let handled = 0;
    for (const key of changes.deletes) {
      edit(key, undefined);
      if (++handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    for (const { key, value } of changes.puts) {
      edit(key, value);
      if (++handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    const buckets = this.#buckets.slice();
    const counts = { entries: this.entryCount, bytes: this.byteCount };
    let sameBuckets = true;
    for (const [index, bucketEdits] of edits) {
      const before = this.#buckets[index];
      const after = Bucket.edited(before, bucketEdits);
      buckets[index] = after;
      counts.entries += (after?.count ?? 0) - (before?.count ?? 0);
      counts.bytes += (after?.bytes.length ?? 0) - (before?.bytes.length ?? 0);
      sameBuckets &&= (before === undefined) === (after === undefined);
      handled += bucketEdits.size + (before?.count ?? 0);
      if (handled >= SLICE_ENTRIES) {
        yield handled;
        handled = 0;
      }
    }
    // What is hashed for the root has a place for each bucket that is not empty: while those are the same, what is known
    // of this snapshot's goes for the next one but for the buckets that changed.
    const known = sameBuckets ? this.#digests : undefined;
    const stale = [...(known?.stale ?? []), ...edits.keys()].filter(
      (index) => buckets[index] !== undefined,
    );
    const digests =
      known === undefined || stale.length > BUCKET_COUNT
        ? undefined
        : { bytes: known.bytes, stale };
    return new Snapshot(this.workspace, buckets, counts, digests);
  }
}

function emptyBuckets(): (Bucket | undefined)[] {
  return new Array<Bucket | undefined>(BUCKET_COUNT).fill(undefined);
}
