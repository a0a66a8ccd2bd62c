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
