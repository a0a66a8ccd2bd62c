import { expect, test } from "vitest";
import { LocalCounters } from "../../../src/dp/plugins/counters.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

const SECOND = 1_000;

function counters(maxCounters?: number): {
  readonly clock: ManualClock;
  readonly local: LocalCounters;
  readonly add: (
    key: string,
    by: number,
    forMs?: number,
    owner?: string,
  ) => number;
} {
  const clock = new ManualClock();
  const local = new LocalCounters({
    clock,
    ...(maxCounters === undefined ? {} : { maxCounters }),
  });
  return {
    clock,
    local,
    add: (key, by, forMs = SECOND, owner = "") =>
      local.addNow([{ key, owner, by, expiresMs: clock.now() + forMs }])[0] ??
      NaN,
  };
}

test("a counter adds up, and reading it changes nothing", async () => {
  const { clock, local } = counters();
  const expiresMs = clock.now() + SECOND;
  expect(
    await local.add([
      { key: "a", by: 1, expiresMs },
      { key: "b", by: 5, expiresMs },
      { key: "a", by: 2, expiresMs },
      { key: "a", by: 0, expiresMs },
      { key: "c", by: 0, expiresMs },
    ]),
  ).toEqual([1, 5, 3, 3, 0]);
  expect(local.size).toBe(2);
});

test("what was added can be taken back, but not from a counter that is gone", () => {
  const { clock, add } = counters();
  add("a", 2);
  expect(add("a", -1)).toBe(1);
  clock.advance(SECOND);
  expect(add("a", -1)).toBe(0);
  expect(add("a", 1)).toBe(1);
});

test("a counter ends when the first step said, whatever later ones say", () => {
  const { clock, add } = counters();
  add("a", 1, 2 * SECOND);
  clock.advance(SECOND);
  expect(add("a", 1, 60 * SECOND)).toBe(2);
  clock.advance(SECOND - 1);
  expect(add("a", 0)).toBe(2);
  clock.advance(1);
  expect(add("a", 0)).toBe(0);
});

test("counters that are over make room without anybody asking for them", () => {
  const { clock, local, add } = counters();
  for (let second = 0; second < 100; second++) {
    for (let i = 0; i < 100; i++) add(`${second}/${i}`, 1);
    clock.advance(SECOND);
  }
  expect(local.size).toBeLessThanOrEqual(300);
});

test("no more counters are kept than there may be, and those in use stay", () => {
  const { local, add } = counters(1_000);
  for (let i = 0; i < 20_000; i++) {
    add(`once/${i}`, 1, 3600 * SECOND);
    add("busy", 1, 3600 * SECOND);
  }
  expect(local.size).toBeLessThanOrEqual(1_000);
  expect(add("busy", 0)).toBe(20_000);
});

test("one owner's flood pushes out its own counters and nobody else's", () => {
  const { local, add } = counters(1_000);
  const hour = 3600 * SECOND;
  for (let i = 0; i < 200; i++) {
    add(`client/${i}`, 1, hour, "calm");
    add(`client/${i}`, 5, hour, "quiet");
  }
  for (let i = 0; i < 20_000; i++) add(`client/${i}`, 1, hour, "flooded");
  expect(local.size).toBeLessThanOrEqual(1_000);
  for (let i = 0; i < 200; i++) {
    expect(add(`client/${i}`, 0, hour, "calm")).toBe(1);
    expect(add(`client/${i}`, 0, hour, "quiet")).toBe(5);
  }
  // Owners that come later get their share of what the first has.
  for (let i = 0; i < 200; i++) add(`client/${i}`, 1, hour, "late");
  for (let i = 0; i < 200; i++)
    expect(add(`client/${i}`, 0, hour, "late")).toBe(1);
  expect(local.size).toBeLessThanOrEqual(1_000);
});

test("counters of owners that ask no more are swept too", () => {
  const { clock, local, add } = counters();
  for (let owner = 0; owner < 50; owner++)
    for (let i = 0; i < 10; i++) add(`${i}`, 1, SECOND, `gone/${owner}`);
  expect(local.size).toBe(500);
  clock.advance(SECOND);
  for (let i = 0; i < 500; i++) add(`${i}`, 1, SECOND, "here");
  expect(local.size).toBe(500);
});

test("owners that come and go leave nothing behind", () => {
  const { clock, local, add } = counters(60);
  const random = new SeededRandom(7);
  for (let i = 0; i < 5_000; i++) {
    expect(
      add(
        `${random.below(9)}`,
        1,
        SECOND * (1 + random.below(3)),
        `${random.below(12)}`,
      ),
    ).toBeGreaterThan(0);
    expect(local.size).toBeLessThanOrEqual(60);
    if (random.below(20) === 0) clock.advance(SECOND);
  }
  clock.advance(3 * SECOND);
  for (let i = 0; i < 200; i++) {
    clock.advance(1);
    add(`${i}`, 1, 1, "last");
  }
  expect(local.size).toBeLessThanOrEqual(3);
});
