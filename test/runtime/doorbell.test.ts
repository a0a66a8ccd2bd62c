import { expect, test } from "vitest";
import { Doorbell } from "../../src/runtime/doorbell.ts";
import { ManualClock } from "../support/manual-clock.ts";

const never = new AbortController().signal;

test("a ring wakes who waits", async () => {
  const bell = new Doorbell();
  const clock = new ManualClock();
  const waiting = bell.wait(never, clock, 1_000);
  bell.ring();
  expect(await waiting).toBe("rung");
  expect(clock.timers).toBe(0);
});

test("rings while nobody waits are one ring", async () => {
  const bell = new Doorbell();
  const clock = new ManualClock();
  bell.ring();
  bell.ring();
  expect(await bell.wait(never, clock, 1_000)).toBe("rung");
  const second = bell.wait(never, clock, 1_000);
  clock.advance(1_000);
  expect(await second).toBe("timeout");
});

test("without a ring a wait ends when its time is up, and not before", async () => {
  const bell = new Doorbell();
  const clock = new ManualClock();
  let ended = false;
  const waiting = bell.wait(never, clock, 1_000).finally(() => (ended = true));
  clock.advance(999);
  await Promise.resolve();
  expect(ended).toBe(false);
  clock.advance(1);
  expect(await waiting).toBe("timeout");
});

test("an abort ends a wait, during it and before it", async () => {
  const bell = new Doorbell();
  const clock = new ManualClock();
  const controller = new AbortController();
  const waiting = bell.wait(controller.signal, clock, 1_000);
  controller.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  expect(clock.timers).toBe(0);
  await expect(bell.wait(controller.signal, clock, 1_000)).rejects.toThrow(
    "enough",
  );
  bell.ring();
  expect(await bell.wait(never, clock, 1_000)).toBe("rung");
});
