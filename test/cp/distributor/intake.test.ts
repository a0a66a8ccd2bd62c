import { expect, test } from "vitest";
import { Intake } from "../../../src/cp/distributor/intake.ts";

test("a node may ask for every bucket by itself at once, and then say 100 things a second; whoever says more waits", () => {
  const intake = new Intake(0);
  let messages = 0;
  while (intake.take(0) === 0) messages++;
  expect(messages).toBeGreaterThan(1_024);
  expect(messages).toBeLessThan(2_048);
  // One more than it may: one hundredth of a second.
  expect(intake.take(10)).toBe(10);
  // After a minute of silence it may again, and no more than at first.
  let again = 0;
  while (intake.take(60_000) === 0) again++;
  expect(again).toBe(messages);
  // At an honest pace nobody ever waits.
  const honest = new Intake(0);
  for (let ms = 0; ms < 100_000; ms += 25) expect(honest.take(ms)).toBe(0);
});

test("a flood is handled at the pace that it may have", () => {
  const intake = new Intake(0);
  let nowMs = 0;
  let handled = 0;
  while (nowMs < 60_000) {
    handled++;
    nowMs += intake.take(nowMs);
  }
  expect(handled).toBeLessThan(1_200 + 60 * 100 + 10);
});
