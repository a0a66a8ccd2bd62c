import { expect, test } from "vitest";
import {
  judge,
  UNJUDGED,
  type HealthOutcome,
  type Judgement,
} from "../../../../src/dp/gateway/upstreams/health/judgement.ts";

const THRESHOLDS = {
  successes: 2,
  httpFailures: 3,
  tcpFailures: 2,
  timeouts: 1,
};

function after(
  outcomes: readonly HealthOutcome[],
  thresholds = THRESHOLDS,
): Judgement {
  return outcomes.reduce(
    (judgement, outcome) => judge(judgement, outcome, thresholds),
    UNJUDGED,
  );
}

test.each<[boolean, readonly HealthOutcome[]]>([
  [true, []],
  [true, ["http-failure", "http-failure"]],
  [false, ["http-failure", "http-failure", "http-failure"]],
  // Each kind of failure has a count of its own.
  [true, ["http-failure", "tcp-failure", "http-failure"]],
  [false, ["tcp-failure", "http-failure", "tcp-failure"]],
  [false, ["timeout"]],
  // A success undoes all failures.
  [true, ["http-failure", "http-failure", "success", "http-failure"]],
  [
    false,
    ["tcp-failure", "success", "tcp-failure", "http-failure", "tcp-failure"],
  ],
  // The way back.
  [false, ["timeout", "success"]],
  [true, ["timeout", "success", "success"]],
  // Any failure undoes the successes, also one that is far from its own limit.
  [false, ["timeout", "success", "http-failure", "success"]],
  [true, ["timeout", "success", "http-failure", "success", "success"]],
  // Back again, it starts from nothing.
  [true, ["tcp-failure", "timeout", "success", "success", "tcp-failure"]],
])("a target is healthy: %s, after %j", (healthy, outcomes) => {
  expect(after(outcomes).healthy).toBe(healthy);
});

test("what has no threshold is not counted", () => {
  const none = { successes: 0, httpFailures: 0, tcpFailures: 0, timeouts: 0 };
  const outcomes = Array.from({ length: 300 }, () => "http-failure" as const);
  expect(after([...outcomes, "timeout", "tcp-failure"], none)).toBe(UNJUDGED);
  const noWayBack = { ...THRESHOLDS, successes: 0 };
  expect(
    after(["timeout", "success", "success", "success"], noWayBack).healthy,
  ).toBe(false);
});

test("what changes nothing gives the same object back", () => {
  expect(judge(UNJUDGED, "success", THRESHOLDS)).toBe(UNJUDGED);
  const down = after(["timeout"]);
  expect(judge(down, "tcp-failure", THRESHOLDS)).toBe(down);
});
