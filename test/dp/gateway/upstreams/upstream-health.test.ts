import { expect, test } from "vitest";
import type { HealthRules } from "../../../../src/dp/gateway/upstreams/health/health-rules.ts";
import { healthRules } from "../../../../src/dp/gateway/upstreams/health/health-rules.ts";
import {
  UpstreamHealth,
  type HealthEvent,
} from "../../../../src/dp/gateway/upstreams/health/upstream-health.ts";
import { fillDefaults } from "../../../../src/model/defaults.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { silentLogger } from "../../../../src/runtime/logger.ts";
import { id, resource } from "../../../support/resources.ts";

const KEY = { upstream: id(1), target: "a.example:80", address: "10.0.0.1:80" };

function rules(tcpFailures: number, httpFailures = 0): HealthRules {
  const { kind } = fillDefaults(
    resource("upstream", {
      name: "u",
      healthchecks: {
        active: { healthy: { interval: 1, successes: 1 } },
        passive: { unhealthy: { tcpFailures, httpFailures } },
      },
    }),
  );
  if (kind.case !== "upstream") throw new TypeError("not an upstream");
  return healthRules(kind.value);
}

function health(of = rules(2)): { health: UpstreamHealth; clock: ManualClock } {
  const clock = new ManualClock();
  const made = new UpstreamHealth({ clock, logger: silentLogger });
  made.setRules(KEY.upstream, "u", of);
  return { health: made, clock };
}

test("what one process sees is told as plain data, and leads another to the same state", () => {
  const one = health().health;
  const other = health().health;
  const events: HealthEvent[] = [];
  one.onObserved((event) => events.push(event));
  other.onObserved(() => {
    throw new Error("what was told is not told again");
  });
  const address = one.address(KEY);
  one.report(address, "passive", "success");
  one.report(address, "passive", "tcp-failure");
  one.report(address, "passive", "tcp-failure");
  one.report(address, "passive", "tcp-failure");
  one.report(address, "active", "success");
  // Neither the success of a healthy target nor the failure of an unhealthy one changes anything.
  expect(events.map(({ observed, state }) => [observed?.by, state])).toEqual([
    ["passive", undefined],
    ["passive", "unhealthy"],
    ["active", "healthy"],
  ]);
  const [counted, down, up] = JSON.parse(
    JSON.stringify(events),
  ) as HealthEvent[];
  if (!counted || !down || !up) throw new Error("three events");
  other.observe(counted);
  expect(other.address(KEY).judgement).toMatchObject({ tcpFailures: 1 });
  other.observe(down);
  expect(other.address(KEY).healthy).toBe(false);
  other.observe(up);
  expect(other.address(KEY).healthy).toBe(true);
});

test("failures seen by several processes add up", () => {
  const { health: one } = health();
  one.observe({
    ...KEY,
    observed: { by: "passive", outcome: "tcp-failure" },
  });
  one.report(one.address(KEY), "passive", "tcp-failure");
  expect(one.address(KEY).healthy).toBe(false);
});

test("a state is taken over although the upstream is not known yet", () => {
  const clock = new ManualClock();
  const late = new UpstreamHealth({ clock, logger: silentLogger });
  const { health: early } = health();
  early.report(early.address(KEY), "passive", "tcp-failure");
  early.report(early.address(KEY), "passive", "tcp-failure");
  for (const event of early.states()) late.observe(event);
  late.setRules(KEY.upstream, "u", rules(2));
  expect(late.address(KEY).healthy).toBe(false);
});

test("without health checks every target is healthy, whatever it was", () => {
  const { health: one } = health();
  one.report(one.address(KEY), "passive", "tcp-failure");
  one.report(one.address(KEY), "passive", "tcp-failure");
  const before = one.version(KEY.upstream);
  const off: HealthRules = rules(0);
  one.setRules(KEY.upstream, "u", {
    ...off,
    active: { ...off.active, healthyIntervalMs: 0, unhealthyIntervalMs: 0 },
  });
  expect(one.address(KEY).healthy).toBe(true);
  expect(one.version(KEY.upstream)).toBe(before + 1);
});

test("an address that nobody uses any more is remembered for five minutes", () => {
  const { health: one, clock } = health(rules(1));
  one.report(one.address(KEY), "passive", "tcp-failure");
  const gone = (): undefined => undefined;
  clock.advance(299_000);
  one.sweep(gone);
  expect(one.address(KEY).healthy).toBe(false);
  clock.advance(2_000);
  one.sweep(gone);
  expect(one.address(KEY).healthy).toBe(true);
});

test("an address that serves a request, or belongs to the served revision, is kept", () => {
  const { health: one, clock } = health(rules(1));
  const address = one.address(KEY);
  one.report(address, "passive", "tcp-failure");
  address.requests = 1;
  clock.advance(301_000);
  one.sweep(() => undefined);
  expect(one.address(KEY)).toBe(address);
  address.requests = 0;
  clock.advance(301_000);
  one.sweep(() => new Set([address]));
  expect(one.address(KEY)).toBe(address);
});
