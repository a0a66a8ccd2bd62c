import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { runSlices, SLICE_ENTRIES } from "../../src/model/slices.ts";
import { Bucket, bucketIndex } from "../../src/model/bucket.ts";
import { diffSlices } from "../../src/model/diff.ts";
import { Snapshot, type Changes } from "../../src/model/snapshot.ts";

// Random input takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

type Content = ReadonlyMap<string, Uint8Array>;

/** Few keys, so that two contents share some, and few values, so that some are equal. */
const arbitraryContent: fc.Arbitrary<Content> = fc
  .array(
    fc.tuple(
      fc.tuple(fc.constantFrom("route", "service"), fc.nat(300)),
      fc.uint8Array({ maxLength: 3, max: 2 }),
    ),
    { maxLength: 200 },
  )
  .map(
    (entries) =>
      new Map(entries.map(([[kind, n], value]) => [key(kind, n), value])),
  );

function key(kind: string, n: number): string {
  return `${kind}/00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
}

function apply(snapshot: Snapshot, changes: Partial<Changes>): Snapshot {
  return runSlices(snapshot.applySlices({ puts: [], deletes: [], ...changes }));
}

function putsOf(content: Content): Changes["puts"] {
  return [...content].map(([k, value]) => ({ key: k, value }));
}

function build(content: Content): Snapshot {
  return apply(Snapshot.empty("default"), { puts: putsOf(content) });
}

describe("a snapshot", () => {
  test("has exactly the entries that were put", () => {
    fc.assert(
      fc.property(arbitraryContent, (content) => {
        const snapshot = build(content);
        const entries = [...snapshot.entries()];
        expect(
          new Map(entries.map((e) => [e.key, new Uint8Array(e.value)])),
        ).toEqual(content);
        expect(snapshot.entryCount).toBe(content.size);
        for (const [k, value] of content)
          expect(Buffer.compare(snapshot.get(k)!, value)).toBe(0);
      }),
    );
  });

  test("changed by its difference to another has the other's root", () => {
    fc.assert(
      fc.property(arbitraryContent, arbitraryContent, (before, after) => {
        const a = build(before);
        const b = build(after);
        const changes = runSlices(diffSlices(a, b));
        const changed = apply(a, changes);
        expect(changed.root).toBe(b.root);
        expect(changed.entryCount).toBe(after.size);
        expect(changed.byteCount).toBe(b.byteCount);
        // The difference is the least: it has only keys whose value is another.
        for (const put of changes.puts)
          expect(before.get(put.key)).not.toEqual(new Uint8Array(put.value));
        for (const gone of changes.deletes)
          expect(before.has(gone) && !after.has(gone)).toBe(true);
      }),
    );
  });

  test("has one root, whatever the order and the steps it was built in", () => {
    fc.assert(
      fc.property(
        arbitraryContent.chain((content) =>
          fc.tuple(
            fc.constant(content),
            fc.shuffledSubarray(putsOf(content).slice(), {
              minLength: content.size,
            }),
            fc.nat(content.size),
            fc.nat(300),
          ),
        ),
        ([content, shuffled, cut, extra]) => {
          const other = key("consumer", extra);
          let snapshot = apply(Snapshot.empty("default"), {
            puts: [
              ...shuffled.slice(cut),
              { key: other, value: new Uint8Array(9) },
            ],
          });
          snapshot = apply(snapshot, {
            puts: shuffled.slice(0, cut),
            deletes: [other],
          });
          expect(snapshot.root).toBe(build(content).root);
        },
      ),
    );
  });

  test("changed step by step, asked for its root now and then, has the root and the counts of its content", () => {
    // Mostly values change and not keys: then what is known of the root before is used again.
    const few = Array.from({ length: 12 }, (_, n) => key("route", n));
    const start: Content = new Map(few.map((k) => [k, Uint8Array.of(1)]));
    const step = fc.record({
      puts: fc.array(
        fc.tuple(fc.constantFrom(...few), fc.uint8Array({ maxLength: 3 })),
      ),
      deletes: fc.array(fc.integer({ min: 10, max: 90 }), { maxLength: 3 }),
      ask: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        let content = new Map(start);
        let snapshot = build(start);
        expect(snapshot.root).toHaveLength(64);
        for (const { puts, deletes, ask } of steps) {
          const gone = deletes.map((n) => key("route", n));
          snapshot = apply(snapshot, {
            puts: putsOf(new Map(puts)),
            deletes: gone,
          });
          for (const k of gone) content.delete(k);
          content = new Map([...content, ...puts]);
          if (!ask) continue;
          const fresh = build(content);
          expect(snapshot.root).toBe(fresh.root);
          expect(snapshot.entryCount).toBe(content.size);
          expect(snapshot.byteCount).toBe(fresh.byteCount);
        }
      }),
    );
  });

  test("differs from another in its root when it differs in anything", () => {
    fc.assert(
      fc.property(arbitraryContent, arbitraryContent, (before, after) => {
        const { puts, deletes } = runSlices(
          diffSlices(build(before), build(after)),
        );
        const same = puts.length + deletes.length === 0;
        expect(build(before).root === build(after).root).toBe(same);
      }),
    );
    expect(Snapshot.empty("a").root).not.toBe(Snapshot.empty("b").root);
  });

  test("shares the buckets that a change does not touch", () => {
    const before = build(
      new Map(
        Array.from({ length: 3000 }, (_, n) => [
          key("route", n),
          new Uint8Array(1),
        ]),
      ),
    );
    const touched = key("route", 7);
    const after = apply(before, { deletes: [touched] });
    for (const [index, bucket] of after.buckets())
      expect(bucket === before.bucket(index)).toBe(
        index !== bucketIndex(touched),
      );
    expect(before.get(touched)).toBeDefined();
    expect(after.get(touched)).toBeUndefined();
  });

  test("a put wins over a delete of the same key, and deleting what is not there changes nothing", () => {
    const one = build(new Map([[key("route", 1), new Uint8Array(1)]]));
    expect(apply(one, { deletes: [key("route", 2)] }).root).toBe(one.root);
    expect(
      apply(one, {
        deletes: [key("route", 1)],
        puts: [{ key: key("route", 1), value: new Uint8Array(1) }],
      }).root,
    ).toBe(one.root);
  });

  test("does its work in slices", () => {
    const puts = Array.from({ length: 20_000 }, (_, n) => ({
      key: key("route", n),
      value: new Uint8Array(1),
    }));
    const bound = 3 * SLICE_ENTRIES;
    const steps = (work: Iterator<number, unknown, undefined>): number => {
      let count = 0;
      for (let step = work.next(); step.done !== true; step = work.next()) {
        expect(step.value).toBeLessThanOrEqual(bound);
        count++;
      }
      return count;
    };
    const snapshot = apply(Snapshot.empty("default"), { puts });
    expect(
      steps(
        Snapshot.empty("default").applySlices({
          puts,
          deletes: [],
        }),
      ),
    ).toBeGreaterThan(20);
    expect(
      steps(diffSlices(Snapshot.empty("default"), snapshot)),
    ).toBeGreaterThan(20);
    expect(steps(snapshot.hashSlices())).toBeGreaterThan(20);
  });
});

describe("a bucket from outside", () => {
  const index = bucketIndex(key("route", 1));
  const bucket = build(new Map([[key("route", 1), Buffer.from("ab")]])).bucket(
    index,
  )!;

  test("is read back equal", () => {
    fc.assert(
      fc.property(arbitraryContent, (content) => {
        for (const [i, made] of build(content).buckets()) {
          const read = Bucket.parse(i, Buffer.from(made.bytes));
          if (typeof read === "string") throw new Error(read);
          expect(read.equals(made)).toBe(true);
          expect(read.hash.equals(made.hash)).toBe(true);
          expect([...read.entries()]).toEqual([...made.entries()]);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("is refused, with the reason, wherever it is cut off", () => {
    for (let length = 0; length < bucket.bytes.length; length++)
      expect(Bucket.parse(index, bucket.bytes.subarray(0, length))).toMatch(
        /^(ends within|is empty)/,
      );
  });

  test("is refused when a key is not its own or not in order", () => {
    expect(Bucket.parse((index + 1) % 1024, bucket.bytes)).toContain(
      "belongs to bucket",
    );
    expect(
      Bucket.parse(index, Buffer.concat([bucket.bytes, bucket.bytes])),
    ).toContain("not in ascending order");
  });

  test("never throws, whatever the bytes", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(200),
        fc.nat(255),
        (bytes, at, byte) => {
          Bucket.parse(index, Buffer.from(bytes));
          const damaged = Buffer.from(bucket.bytes);
          damaged[at % damaged.length] = byte;
          Bucket.parse(index, damaged);
        },
      ),
    );
  });
});
