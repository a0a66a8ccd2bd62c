import fc from "fast-check";
import { expect, test } from "vitest";
import { Pins, type Puller } from "../../../src/cp/distributor/pins.ts";
import { Snapshot } from "../../../src/model/snapshot.ts";

class TestPuller implements Puller {
  unpinnedTimes = 0;
  unpinned(): void {
    this.unpinnedTimes++;
  }
}

function states(count: number): readonly Snapshot[] {
  return Array.from({ length: count }, (_, i) => Snapshot.empty(`w${i}`));
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new RangeError(`no item ${index}`);
  return item;
}

test("keeps a few states and lets the oldest go for a newer one, with all who pull it", () => {
  const pins = new Pins(2);
  const [a, b, c] = [new TestPuller(), new TestPuller(), new TestPuller()];
  const also = new TestPuller();
  const [first, second, third] = states(3) as [Snapshot, Snapshot, Snapshot];
  pins.pin(a, first, false);
  pins.pin(also, first, false);
  pins.pin(b, second, false);
  expect(pins.size).toBe(2);
  pins.pin(c, third, false);
  expect(pins.size).toBe(2);
  expect([a, also, b, c].map((p) => p.unpinnedTimes)).toEqual([1, 1, 0, 0]);
});

test("keeps a state with priority rather than an ordinary one, however old it is", () => {
  const pins = new Pins(2);
  const [a, b, c] = [new TestPuller(), new TestPuller(), new TestPuller()];
  const [first, second, third] = states(3) as [Snapshot, Snapshot, Snapshot];
  pins.pin(a, first, true);
  pins.pin(b, second, false);
  pins.pin(c, third, false);
  expect([a, b, c].map((p) => p.unpinnedTimes)).toEqual([0, 1, 0]);
});

test("who starts again with the newest when its state is gone finds its place at once", () => {
  const pins = new Pins(2);
  const [first, second, newest] = states(3) as [Snapshot, Snapshot, Snapshot];
  const again: Puller = {
    unpinned: () => {
      pins.pin(again, newest, false);
    },
  };
  const [b, c] = [new TestPuller(), new TestPuller()];
  pins.pin(again, first, false);
  pins.pin(b, second, false);
  pins.pin(c, newest, false);
  expect(pins.size).toBe(2);
  pins.release(c);
  pins.release(b);
  expect(pins.size).toBe(1);
  pins.release(again);
  expect(pins.size).toBe(0);
});

test("never keeps more than its limit, and each puller's state is kept until it is told otherwise", () => {
  const kept = states(12);
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          puller: fc.nat(9),
          state: fc.option(fc.nat(11), { nil: undefined }),
          priority: fc.boolean(),
        }),
        { maxLength: 80 },
      ),
      (steps) => {
        const pins = new Pins(3);
        const pulling = new Map<number, Snapshot>();
        const pullers = Array.from({ length: 10 }, (_, i): Puller => ({
          unpinned: () => {
            expect(pulling.delete(i)).toBe(true);
          },
        }));
        for (const { puller, state, priority } of steps) {
          if (state === undefined) {
            pins.release(at(pullers, puller));
            pulling.delete(puller);
          } else {
            pulling.set(puller, at(kept, state));
            pins.pin(at(pullers, puller), at(kept, state), priority);
          }
          expect(pins.size).toBeLessThanOrEqual(3);
          expect(pins.size).toBe(new Set(pulling.values()).size);
        }
      },
    ),
  );
});
