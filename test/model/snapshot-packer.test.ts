import fc from "fast-check";
import { expect, test } from "vitest";
import { KINDS, keyOf } from "../../src/model/kinds.ts";
import { runSlices, SLICE_ENTRIES } from "../../src/model/slices.ts";
import { SnapshotPacker } from "../../src/model/snapshot-packer.ts";
import type { Entry } from "../../src/model/bucket.ts";
import { Snapshot } from "../../src/model/snapshot.ts";

const entries = fc
  .uniqueArray(
    fc.record({
      key: fc
        .tuple(fc.constantFrom(...KINDS), fc.uuid())
        .map(([kind, id]) => keyOf(kind, id)),
      value: fc.oneof(
        { weight: 20, arbitrary: fc.uint8Array({ maxLength: 40 }) },
        // Some are larger than what is staged at first.
        {
          weight: 1,
          arbitrary: fc
            .integer({ min: 30_000, max: 200_000 })
            .map((length) => new Uint8Array(length).fill(length)),
        },
      ),
    }),
    { selector: ({ key }) => key, maxLength: 400, size: "max" },
  )
  .map((all) => all.sort((x, y) => (x.key < y.key ? -1 : 1)));

function pack(all: readonly Entry[]) {
  const packer = new SnapshotPacker();
  for (const { key, value } of all) packer.add(key, value);
  return runSlices(packer.finishSlices("default"));
}

test("what is packed is what putting the same entries makes", () => {
  fc.assert(
    fc.property(entries, (all) => {
      const packed = pack(all);
      const { snapshot } = packed;
      const expected = runSlices(
        Snapshot.empty("default").applySlices({ puts: all, deletes: [] }),
      );
      expect(snapshot.root).toBe(expected.root);
      expect(snapshot.entryCount).toBe(all.length);
      expect(snapshot.byteCount).toBe(expected.byteCount);
      for (const { key, value } of all)
        expect(
          Buffer.compare(snapshot.get(key) ?? Buffer.alloc(0), value),
        ).toBe(0);
      expect([...packed.keys()]).toEqual(all.map(({ key }) => key));
    }),
    { numRuns: 50 },
  );
});

test("an entry that comes out of order is told by the root", () => {
  const [first, second] = ["0", "1"].map((digit) => ({
    key: keyOf("route", `00000000-0000-4000-8000-00000000000${digit}`),
    value: new Uint8Array([1]),
  }));
  if (first === undefined || second === undefined) throw new Error("no entry");
  // The same key twice is in one bucket for sure.
  const good = pack([first, second]).snapshot.root;
  expect(pack([first, first, second]).snapshot.root).not.toBe(good);
});

test("packing many pauses", () => {
  const packer = new SnapshotPacker();
  for (let i = 0; i < 10_000; i++)
    packer.add(
      keyOf("route", `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`),
      new Uint8Array(100),
    );
  const work = packer.finishSlices("default");
  let handled = 0;
  for (let step = work.next(); step.done !== true; step = work.next()) {
    expect(step.value).toBeLessThanOrEqual(SLICE_ENTRIES);
    handled += step.value;
  }
  expect(handled).toBeGreaterThan(10_000 - SLICE_ENTRIES);
});
