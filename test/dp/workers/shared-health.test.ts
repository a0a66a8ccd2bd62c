import { expect, test } from "vitest";
import type { HealthEvent } from "../../../src/dp/gateway/upstreams/health/upstream-health.ts";
import type { Answer } from "../../../src/dp/workers/questions.ts";
import {
  SharedHealth,
  type HealthMember,
} from "../../../src/dp/workers/shared-health.ts";

type States = Answer<readonly HealthEvent[]>;

/** A worker that answers what it knows when a test says so. */
class FakeMember implements HealthMember {
  readonly heard: HealthEvent[] = [];
  isGone = false;
  probes = 0;
  #answer: (states: States) => void = () => undefined;
  readonly #states = new Promise<States>((resolve) => {
    this.#answer = resolve;
  });

  observe(event: HealthEvent): void {
    this.heard.push(event);
  }

  states(): Promise<States> {
    return this.#states;
  }

  probe(): void {
    this.probes++;
  }

  answers(...value: readonly HealthEvent[]): void {
    this.#answer({ type: "answer", value });
  }

  goes(): void {
    this.isGone = true;
    this.#answer({ type: "gone" });
  }
}

const at = (state?: "healthy" | "unhealthy", address = "a"): HealthEvent => ({
  upstream: "bank",
  target: "t:80",
  address,
  ...(state === undefined
    ? { observed: { by: "passive", outcome: "timeout" } }
    : { state }),
});

/** Workers, of whom the last one is new. */
function workers(count: number) {
  const all = Array.from({ length: count }, () => new FakeMember());
  const [first, second, third] = all as [FakeMember, FakeMember, FakeMember];
  const health = new SharedHealth(() => all);
  return { health, all, first, second, third };
}

test("what one worker has found out is told to the others", () => {
  const { health, all, second } = workers(3);
  health.observed(second, at("unhealthy"));
  expect(all.map(({ heard }) => heard)).toEqual([
    [at("unhealthy")],
    [],
    [at("unhealthy")],
  ]);
});

test("a new worker hears what is known from whichever worker answers first: one that hangs, or ends, keeps it from nothing", async () => {
  const { health, first, second, third } = workers(3);
  const joined = health.joined(third);
  second.answers(at("unhealthy"));
  await joined;
  expect(third.heard).toEqual([at("unhealthy")]);

  const next = new FakeMember();
  const again = health.joined(next);
  first.goes();
  await again;
  expect(next.heard).toEqual([at("unhealthy")]);
});

test("one that is as new itself is not asked what is known", async () => {
  const { health, all, first } = workers(1);
  const [second, third] = [new FakeMember(), new FakeMember()];
  const joining = [second, third].map((member) => {
    all.push(member);
    return health.joined(member);
  });
  second.answers();
  third.answers();
  first.answers(at("unhealthy"));
  await Promise.all(joining);
  expect(second.heard).toEqual([at("unhealthy")]);
  expect(third.heard).toEqual([at("unhealthy")]);
});

test("with nobody to ask, or nobody who answers, a new worker begins with nothing", async () => {
  const alone = workers(1);
  await alone.health.joined(alone.first);
  expect(alone.first.heard).toEqual([]);

  const { health, first, second } = workers(2);
  const joined = health.joined(second);
  first.goes();
  await joined;
  health.observed(first, at("unhealthy"));
  expect(second.heard).toEqual([at("unhealthy")]);
});

test("what is found out while a new worker waits for what is known comes after that, so that it is not undone", async () => {
  const { health, first, second, third } = workers(3);
  const joined = health.joined(third);
  // As it was when it was asked; this is news, and that is on its way.
  health.observed(second, at("healthy"));
  health.observed(second, at());
  first.answers(at("unhealthy"), at("unhealthy", "b"));
  await joined;
  expect(third.heard).toEqual([
    at("unhealthy"),
    at("unhealthy", "b"),
    at("healthy"),
  ]);
  health.observed(second, at());
  expect(third.heard.at(-1)).toEqual(at());
});

test("one of those that serve sends the probes, and another when it is gone", () => {
  const { health, all, first, second } = workers(2);
  health.appoint([]);
  health.appoint(all);
  health.appoint([second, first]);
  expect(all.map(({ probes }) => probes)).toEqual([1, 0]);
  first.goes();
  health.appoint([second]);
  expect(all.map(({ probes }) => probes)).toEqual([1, 1]);
});
