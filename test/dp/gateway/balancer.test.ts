import fc from "fast-check";
import { expect, test } from "vitest";
import {
  Balancer,
  type BalancerTarget,
} from "../../../src/dp/gateway/balancer.ts";

const target = (host: string, weight: number): BalancerTarget => ({
  host,
  port: 80,
  weight,
});
const NONE: ReadonlySet<BalancerTarget> = new Set();

test("a whole round gives each target its weight, and no more", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 6 }),
      fc.integer({ min: 0, max: 99 }),
      (weights, seed) => {
        const targets = weights.map((weight, i) => target(`t${i}`, weight));
        const balancer = new Balancer(targets, () => seed / 100);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const counts = new Map<string, number>();
        for (let round = 0; round < total; round++) {
          const host = balancer.pick(NONE)?.host ?? "";
          counts.set(host, (counts.get(host) ?? 0) + 1);
        }
        for (const { host, weight } of targets)
          expect(counts.get(host) ?? 0).toBe(weight);
      },
    ),
  );
});

test("a heavy target does not get its share in one go", () => {
  const balancer = new Balancer(
    [target("a", 2), target("b", 1), target("c", 1)],
    () => 0.999,
  );
  const round = Array.from({ length: 4 }, () => balancer.pick(NONE)?.host);
  expect(round).toEqual(["a", "b", "c", "a"]);
});

test("targets that were tried are left out while there are others", () => {
  const [a, b] = [target("a", 1), target("b", 5)];
  const balancer = new Balancer([a, b], () => 0);
  expect(balancer.pick(new Set([b]))).toBe(a);
  expect(balancer.pick(new Set([a]))).toBe(b);
  expect(balancer.pick(new Set([a, b]))).toBeDefined();
});

test("without a target that has a weight there is none", () => {
  expect(new Balancer([target("a", 0)], () => 0).pick(NONE)).toBeUndefined();
  expect(new Balancer([], () => 0).pick(NONE)).toBeUndefined();
});
