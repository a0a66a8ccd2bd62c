import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { Freshness, type WhenStale } from "../../src/dp/freshness.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { RecordingLogger } from "../support/recording-logger.ts";

const MINUTE = 60_000;

function open(
  options: {
    readonly confirmedAgoMs?: number;
    readonly maxStaleMs?: number;
    readonly whenStale?: WhenStale;
  } = {},
) {
  const manual = new ManualClock();
  /** What somebody set the wall clock to. */
  const wall = { offMs: 0 };
  const clock: Clock = {
    now: () => manual.now() + wall.offMs,
    monotonic: () => manual.monotonic(),
    setTimer: (ms, run) => manual.setTimer(ms, run),
    sleep: (ms, signal) => manual.sleep(ms, signal),
  };
  const logger = new RecordingLogger();
  const metrics = new Registry();
  const stored: number[] = [];
  const freshness = new Freshness({
    maxStaleMs: options.maxStaleMs,
    whenStale: options.whenStale ?? "serve",
    confirmedMs:
      options.confirmedAgoMs === undefined
        ? undefined
        : manual.now() - options.confirmedAgoMs,
    store: (atMs) => {
      stored.push(atMs);
      return Promise.resolve();
    },
    clock,
    logger,
    metrics,
  });
  return { freshness, clock: manual, wall, logger, metrics, stored };
}

describe("the age of a confirmation", () => {
  test("goes on over a restart, from nothing when a control plane confirms, and is measured by the monotonic clock", () => {
    const { freshness, clock, wall } = open({ confirmedAgoMs: 5 * MINUTE });
    expect(freshness.ageMs).toBe(5 * MINUTE);
    clock.advance(MINUTE);
    expect(freshness.ageMs).toBe(6 * MINUTE);
    for (const offMs of [1e12, -1e12]) {
      wall.offMs = offMs;
      expect(freshness.ageMs).toBe(6 * MINUTE);
    }
    wall.offMs = 0;
    freshness.confirm();
    expect(freshness.ageMs).toBe(0);
    expect(freshness.confirmedMs).toBe(clock.now());
  });

  test("is never negative: a wall clock that was set back over a restart makes it 0", () => {
    expect(
      open({ confirmedAgoMs: -10 * 365 * 24 * 60 * MINUTE }).freshness.ageMs,
    ).toBe(0);
  });

  test("is since the start when there was none", () => {
    const { freshness, clock } = open();
    clock.advance(MINUTE);
    expect(freshness.ageMs).toBe(MINUTE);
    expect(freshness.confirmedMs).toBeUndefined();
  });

  test("is stored at most every ten seconds, and once more at the end", async () => {
    const { freshness, clock, stored } = open();
    const startMs = clock.now();
    for (let second = 0; second < 25; second++) {
      freshness.confirm();
      clock.advance(1_000);
    }
    expect(stored).toEqual([startMs, startMs + 10_000, startMs + 20_000]);
    await freshness.close();
    expect(stored.at(-1)).toBe(startMs + 24_000);
    expect(clock.timers).toBe(0);
  });
});

describe("what is stale", () => {
  test.each(["warn", "unready"] as const)(
    "is said once when it becomes so, and once when it no longer is (%s)",
    async (whenStale) => {
      const { freshness, clock, logger, metrics } = open({
        maxStaleMs: MINUTE,
        whenStale,
      });
      freshness.confirm();
      clock.advance(MINUTE);
      expect(freshness.isStale).toBe(false);
      expect(logger.events).toEqual([]);
      clock.advance(10 * MINUTE);
      expect(freshness.isStale).toBe(true);
      expect(logger.events).toEqual(["config.stale"]);
      expect(await metrics.metrics()).toContain("holdfast_dp_config_stale 1");
      expect(await metrics.metrics()).toContain(
        "holdfast_dp_config_confirmed_age_seconds 660",
      );
      if (whenStale === "unready")
        expect(freshness.notReady).toMatch(/for 660 s, allowed are 60 s/);
      else expect(freshness.notReady).toBeUndefined();
      freshness.confirm();
      expect(freshness.isStale).toBe(false);
      expect(freshness.notReady).toBeUndefined();
      expect(logger.events).toEqual(["config.stale", "config.confirmed_again"]);
      clock.advance(2 * MINUTE);
      expect(
        logger.events.filter((event) => event === "config.stale"),
      ).toHaveLength(2);
    },
  );

  test("is no line in the log when it is to be served, and nothing ever is without a limit", () => {
    const quiet = open({ maxStaleMs: MINUTE });
    quiet.clock.advance(2 * MINUTE);
    expect(quiet.freshness.isStale).toBe(true);
    expect(quiet.freshness.notReady).toBeUndefined();
    expect(quiet.logger.events).toEqual([]);
    const never = open({ whenStale: "unready" });
    never.clock.advance(1e9);
    expect(never.freshness.isStale).toBe(false);
    expect(never.clock.timers).toBe(0);
  });

  test("confirmations that keep coming leave one timer", () => {
    const { freshness, clock, logger } = open({
      maxStaleMs: MINUTE,
      whenStale: "warn",
    });
    for (let i = 0; i < 1000; i++) {
      freshness.confirm();
      clock.advance(500);
      expect(clock.timers).toBe(1);
    }
    expect(logger.events).toEqual([]);
  });
});
