import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { idOfKey, uuidV5 } from "../../src/model/ids.ts";
import { kindOf, pluralOf } from "../../src/model/kinds.ts";
import { runSlices } from "../../src/model/slices.ts";
import { Bucket, type Entry } from "../../src/model/bucket.ts";
import { Snapshot } from "../../src/model/snapshot.ts";

interface HexEntry {
  readonly key: string;
  readonly value: string;
}

interface BucketVector {
  readonly index: number;
  readonly bytes: string;
  readonly hash: string;
}

interface Totals {
  readonly workspace: string;
  readonly entry_count: number;
  readonly byte_count: number;
  readonly root: string;
}

interface SmallVector extends Totals {
  readonly entries: readonly HexEntry[];
  readonly buckets: readonly BucketVector[];
}

interface GeneratedVector extends Totals {
  readonly first_entries: readonly HexEntry[];
  readonly last_entry: HexEntry;
  readonly bucket_count: number;
  readonly first_bucket: BucketVector;
}

interface IdVectors {
  readonly namespace: string;
  readonly ids: readonly {
    readonly kind: string;
    readonly plural: string;
    readonly key: string;
    readonly id: string;
  }[];
}

function read(name: string): unknown {
  const url = new URL(`../../proto/testdata/${name}`, import.meta.url);
  return JSON.parse(readFileSync(url, "utf8"));
}

function snapshotOf(workspace: string, puts: readonly Entry[]): Snapshot {
  const empty = Snapshot.empty(workspace);
  return runSlices(empty.applySlices({ puts, deletes: [] }));
}

function hexEntry({ key, value }: Entry): HexEntry {
  return { key, value: Buffer.from(value).toString("hex") };
}

function bucketVector([index, bucket]: readonly [
  number,
  Bucket,
]): BucketVector {
  return {
    index,
    bytes: bucket.bytes.toString("hex"),
    hash: bucket.hash.toString("hex"),
  };
}

function totalsOf(snapshot: Snapshot): Totals {
  return {
    workspace: snapshot.workspace,
    entry_count: snapshot.entryCount,
    byte_count: snapshot.byteCount,
    root: snapshot.root,
  };
}

describe("the test vectors for other languages", () => {
  test.each(["empty.json", "one-entry.json", "three-entries.json"])(
    "%s: buckets, hashes and root are ours, in any order of the entries",
    (name) => {
      const vector = read(name) as SmallVector;
      const entries = vector.entries.map(({ key, value }) => ({
        key,
        value: Buffer.from(value, "hex"),
      }));
      for (const ordered of [entries, entries.toReversed()]) {
        const snapshot = snapshotOf(vector.workspace, ordered);
        expect([...snapshot.buckets()].map(bucketVector)).toEqual(
          vector.buckets,
        );
        expect(vector).toMatchObject(totalsOf(snapshot));
      }
    },
  );

  test("generated-10000.json: the rule gives its entries, its bucket and its root", () => {
    const vector = read("generated-10000.json") as GeneratedVector;
    const entries = Array.from({ length: 10_000 }, (_, i) => ({
      key: `route/00000000-0000-4000-8000-${i.toString(16).padStart(12, "0")}`,
      value: new Uint8Array(i % 7).fill(i & 0xff),
    }));
    expect(entries.slice(0, 8).map(hexEntry)).toEqual(vector.first_entries);
    expect(entries.slice(-1).map(hexEntry)).toEqual([vector.last_entry]);
    const snapshot = snapshotOf(vector.workspace, entries);
    const buckets = [...snapshot.buckets()];
    expect(buckets).toHaveLength(vector.bucket_count);
    expect(buckets.slice(0, 1).map(bucketVector)).toEqual([
      vector.first_bucket,
    ]);
    expect(vector).toMatchObject(totalsOf(snapshot));
  });

  test("ids.json: the ids that follow from names are ours", () => {
    const vector = read("ids.json") as IdVectors;
    for (const { kind, plural, key, id } of vector.ids) {
      const known = kindOf(kind);
      if (known === undefined) throw new TypeError(`unknown kind ${kind}`);
      expect(pluralOf(known)).toBe(plural);
      expect(idOfKey(known, key)).toBe(id);
      expect(uuidV5(uuidV5(vector.namespace, plural), key)).toBe(id);
    }
  });
});
