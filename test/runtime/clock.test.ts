import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { systemClock, type Clock } from "../../src/runtime/clock.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** The clock of tests must keep what the real one promises. */
const clocks: readonly (readonly [string, () => Clock, () => void])[] = [
  ["the clock of the machine", () => systemClock, () => undefined],
  (() => {
    const manual = new ManualClock();
    return [
      "the clock of tests",
      () => manual,
      () => {
        manual.advance(1_000);
      },
    ] as const;
  })(),
];

describe.each(clocks)("%s", (_name, open, move) => {
  test("calls once, after the delay, and not when it was cancelled", async () => {
    const clock = open();
    const startMs = clock.monotonic();
    let calls = 0;
    let cancelled = 0;
    const timer = clock.setTimer(10, () => cancelled++);
    const called = new Promise<void>((resolve) => {
      clock.setTimer(30, () => {
        calls++;
        resolve();
      });
    });
    timer.cancel();
    timer.cancel();
    move();
    await called;
    // Timers of Node may be early by less than a millisecond.
    expect(clock.monotonic() - startMs).toBeGreaterThan(28);
    expect([calls, cancelled]).toEqual([1, 0]);
  });

  test("sleeps until the time has come", async () => {
    const clock = open();
    const startMs = clock.monotonic();
    const slept = clock.sleep(20);
    move();
    await slept;
    expect(clock.monotonic() - startMs).toBeGreaterThan(18);
  });

  test("wakes who is aborted, before or during, with its reason", async () => {
    const clock = open();
    const reason = new Error("stop");
    await expect(clock.sleep(60_000, AbortSignal.abort(reason))).rejects.toBe(
      reason,
    );
    const abort = new AbortController();
    const slept = clock.sleep(60_000, abort.signal);
    abort.abort(reason);
    await expect(slept).rejects.toBe(reason);
  });
});

test("a timer does not keep the process alive", () => {
  const clock = new URL("../../src/runtime/clock.ts", import.meta.url).href;
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      "--import",
      "tsx",
      "--input-type=module",
      "-e",
      `import { systemClock } from ${JSON.stringify(clock)}; systemClock.setTimer(3_600_000, () => {});`,
    ],
    { timeout: 20_000, encoding: "utf8" },
  );
  expect(stderr).toBe("");
  expect(status).toBe(0);
}, 25_000);
