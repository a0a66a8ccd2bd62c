import { getHeapSpaceStatistics } from "node:v8";
import { expect, test } from "vitest";
import { Watcher } from "../../../src/dp/gateway/proxy/watch.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const LIMITS = { connect: 100, write: 200, read: 1_000, client: 500 };

/** A watcher, and what expired of which exchange. */
function watching(): {
  readonly clock: ManualClock;
  readonly expired: string[];
  readonly begin: (
    name: string,
    limits?: typeof LIMITS,
  ) => ReturnType<Watcher["begin"]>;
} {
  const clock = new ManualClock();
  const watcher = new Watcher(clock);
  const expired: string[] = [];
  return {
    clock,
    expired,
    begin: (name, limits = LIMITS) =>
      watcher.begin(limits, (waiting) => expired.push(`${name} ${waiting}`)),
  };
}

test("an exchange that does not move for as long as it may expires, once", () => {
  const { clock, expired, begin } = watching();
  const watch = begin("a");
  watch.wait("connect");
  clock.advance(99);
  expect(expired).toEqual([]);
  clock.advance(1);
  expect(expired).toEqual(["a connect"]);
  clock.advance(10_000);
  expect(expired).toHaveLength(1);
  watch.stop();
});

test("each move begins anew, whether what is waited for next may take longer or less", () => {
  const { clock, expired, begin } = watching();
  const watch = begin("a");
  watch.wait("connect");
  clock.advance(50);
  watch.wait("read");
  clock.advance(999);
  watch.wait("read");
  clock.advance(999);
  watch.wait("write");
  clock.advance(199);
  expect(expired).toEqual([]);
  clock.advance(1);
  expect(expired).toEqual(["a write"]);
});

test("one that is over does not expire", () => {
  const { clock, expired, begin } = watching();
  const watch = begin("a");
  watch.wait("read");
  watch.stop();
  clock.advance(2_000);
  expect(expired).toEqual([]);
});

test("one timer serves all, and none stays when all are over", () => {
  const { clock, expired, begin } = watching();
  const watches = Array.from({ length: 100 }, (_, i) => {
    const watch = begin(`slow ${i}`);
    watch.wait("read");
    return watch;
  });
  const quick = begin("quick", { ...LIMITS, read: 10 });
  quick.wait("read");
  expect(clock.timers).toBe(1);
  clock.advance(10);
  expect(expired).toEqual(["quick read"]);
  expect(clock.timers).toBe(1);
  clock.advance(990);
  expect(expired).toHaveLength(101);
  for (const watch of watches) watch.stop();
  clock.advance(2_000);
  expect(clock.timers).toBe(0);
});

test.each([0, 1, 2, 3])(
  "whatever ends while deadlines are looked at, each of the others expires (each ends the one %i further)",
  (distance) => {
    const clock = new ManualClock();
    const watcher = new Watcher(clock);
    const expired: number[] = [];
    const ended = new Set<number>();
    const watches = Array.from({ length: 9 }, (_, i) =>
      watcher.begin(LIMITS, () => {
        expired.push(i);
        const other = (i + distance) % watches.length;
        watches[other]?.stop();
        if (!expired.includes(other)) ended.add(other);
      }),
    );
    for (const watch of watches) watch.wait("connect");
    clock.advance(1_000);
    expect(new Set(expired).size).toBe(expired.length);
    expect([...expired, ...ended].sort()).toEqual([...watches.keys()]);
    expect(clock.timers).toBe(0);
  },
);

test("what exchanges had that are over is not carried into the heap's old space", () => {
  const watcher = new Watcher(new ManualClock());
  const underWay = Array.from({ length: 64 }, () =>
    watcher.begin(LIMITS, () => 0),
  );
  // The watcher and what it keeps them in are old.
  let garbage: unknown[] = [];
  for (let i = 0; i < EXCHANGES; i++) garbage = payload();
  let before = oldBytes();
  let most = 0;
  for (let i = 0; i < EXCHANGES; i++) {
    const had = payload();
    underWay.push(watcher.begin(LIMITS, () => had.length));
    underWay.shift()?.stop();
    if (i % 100 > 0) continue;
    const bytes = oldBytes();
    // Smaller than it was: there was a full collection.
    before = Math.min(before, bytes);
    most = Math.max(most, bytes - before);
  }
  expect(garbage).toHaveLength(PAYLOAD.length);
  expect(most).toBeLessThan((EXCHANGES * PAYLOAD.length * 8) / 20);
});

const EXCHANGES = 20_000;
const PAYLOAD = new Array<number>(1_000).fill(0.5);

function payload(): unknown[] {
  return [...PAYLOAD];
}

function oldBytes(): number {
  return getHeapSpaceStatistics()
    .filter(({ space_name }) => space_name === "old_space")
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
}
