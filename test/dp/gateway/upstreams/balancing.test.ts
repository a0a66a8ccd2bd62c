import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  balancing,
  type Algorithm,
  type Balancing,
  type Peer,
} from "../../../../src/dp/gateway/upstreams/balancing/balancing.ts";
import { hashOf } from "../../../../src/dp/gateway/upstreams/balancing/consistent-hashing.ts";
import { addLatency } from "../../../../src/dp/gateway/upstreams/balancing/lowest-latency.ts";
import { AddressState } from "../../../../src/dp/gateway/upstreams/health/address-state.ts";

const NONE: ReadonlySet<Peer> = new Set();

function peer(name: string, weight = 1): Peer {
  const address = `${name}:80`;
  return {
    name,
    address: name,
    port: 80,
    weight,
    state: new AddressState({ upstream: "u", target: address, address }),
  };
}

interface Options {
  readonly random?: () => number;
  readonly nowMs?: () => number;
  readonly slots?: number;
}

function make(
  algorithm: Algorithm,
  peers: readonly Peer[],
  { random = () => 0.999, nowMs = () => 0, slots = 10_000 }: Options = {},
): Balancing {
  return balancing(algorithm, peers, { random, nowMs, slots });
}

function names(of: Balancing, count: number): string[] {
  return Array.from(
    { length: count },
    () => of.pick(NONE, undefined)?.name ?? "",
  );
}

function tally(picked: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of picked) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

describe.each<Algorithm>([
  "round-robin",
  "least-connections",
  "consistent-hashing",
  "latency",
])("%s", (algorithm) => {
  test("leaves out what was tried and what is not available, and says when nobody is left", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 300 }), {
          minLength: 1,
          maxLength: 6,
        }),
        fc.integer({ min: 0, max: 63 }),
        fc.integer({ min: 0, max: 63 }),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        (weights, open, skipped, hash) => {
          const peers = weights.map((weight, i) => peer(`t${i}`, weight));
          const available = peers.filter((_, i) => (open >> i) & 1);
          const tried = new Set(peers.filter((_, i) => (skipped >> i) & 1));
          const balancer = make(algorithm, peers, { random: Math.random });
          balancer.setAvailable(available);
          const left = available.filter((one) => !tried.has(one));
          const picked = balancer.pick(tried, hash);
          expect(picked === undefined).toBe(left.length === 0);
          if (picked !== undefined) expect(left).toContain(picked);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("has nothing to choose among no peers", () => {
    expect(make(algorithm, []).pick(NONE, 7)).toBeUndefined();
  });
});

describe("round-robin", () => {
  test("a whole round gives each peer its weight, and no more, whatever came before", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), {
          minLength: 1,
          maxLength: 6,
        }),
        fc.integer({ min: 0, max: 99 }),
        (weights, seed) => {
          const peers = weights.map((weight, i) => peer(`t${i}`, weight));
          const balancer = make("round-robin", peers, {
            random: () => seed / 100,
          });
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          for (let round = 0; round < 3; round++)
            expect(tally(names(balancer, total))).toEqual(
              Object.fromEntries(peers.map((one) => [one.name, one.weight])),
            );
        },
      ),
    );
  });

  test("a heavy peer does not get its share in one go", () => {
    const balancer = make("round-robin", [peer("a", 2), peer("b"), peer("c")]);
    expect(names(balancer, 8).join("")).toBe("abcaabca");
  });

  test("what others miss while one is away is not made up for when it is back", () => {
    const [a, b] = [peer("a", 100), peer("b", 100)];
    const balancer = make("round-robin", [a, b]);
    balancer.setAvailable([a]);
    expect(tally(names(balancer, 50))).toEqual({ a: 50 });
    balancer.setAvailable([a, b]);
    const { a: ours = 0, b: theirs = 0 } = tally(names(balancer, 20));
    expect(Math.abs(ours - theirs)).toBeLessThanOrEqual(1);
  });

  test("each process begins with another peer", () => {
    const peers = ["a", "b", "c", "d"].map((name) => peer(name));
    const first = new Set(
      [0, 0.3, 0.6, 0.99].map(
        (seed) =>
          names(make("round-robin", peers, { random: () => seed }), 1)[0],
      ),
    );
    expect(first.size).toBeGreaterThan(1);
  });
});

describe("least-connections", () => {
  test("the fewest requests for the weight", () => {
    const [a, b] = [peer("a", 3), peer("b", 1)];
    const balancer = make("least-connections", [a, b]);
    for (let i = 0; i < 40; i++) {
      const picked = balancer.pick(NONE, undefined);
      if (picked !== undefined) picked.state.requests++;
    }
    expect([a.state.requests, b.state.requests]).toEqual([30, 10]);
    a.state.requests = 0;
    expect(names(balancer, 2)).toEqual(["a", "a"]);
  });

  test("equals come one after the other", () => {
    const peers = ["a", "b", "c"].map((name) => peer(name));
    expect(tally(names(make("least-connections", peers), 30))).toEqual({
      a: 10,
      b: 10,
      c: 10,
    });
  });
});

describe("latency", () => {
  test("the quicker of two, and one that was never asked before all others", () => {
    const [a, b] = [peer("a"), peer("b")];
    addLatency(a.state, 20, 0);
    addLatency(b.state, 200, 0);
    let at = 0;
    const balancer = make("latency", [a, b], {
      random: () => (at = (at + 0.37) % 1),
    });
    expect(tally(names(balancer, 20))).toEqual({ a: 20 });
    const fresh = make("latency", [a, b, peer("new")], { random: () => 0.99 });
    expect(names(fresh, 1)).toEqual(["new"]);
  });

  test("a peak shows at once and is half forgotten after seven seconds", () => {
    const { state } = peer("a");
    addLatency(state, 10, 0);
    addLatency(state, 500, 100);
    expect(state.latencyMs).toBe(500);
    addLatency(state, 10, 100);
    expect(state.latencyMs).toBe(500);
    addLatency(state, 10, 7_031);
    expect(state.latencyMs).toBeCloseTo(255, 0);
  });

  test("a heavier peer may take longer in proportion", () => {
    const [a, b] = [peer("a", 10), peer("b", 1)];
    addLatency(a.state, 50, 0);
    addLatency(b.state, 10, 0);
    expect(names(make("latency", [a, b]), 1)).toEqual(["a"]);
  });
});

describe("consistent hashing", () => {
  const KEYS = Array.from({ length: 3_000 }, (_, i) => hashOf(`client ${i}`));
  const owners = (peers: readonly Peer[], options: Options = {}) => {
    const balancer = make("consistent-hashing", peers, options);
    return KEYS.map((hash) => balancer.pick(NONE, hash)?.name ?? "");
  };
  const TEN = Array.from({ length: 10 }, (_, i) => peer(`10.0.0.${i}`, 100));

  test("is the same in every process, in whatever order the targets come", () => {
    const ring = owners(TEN);
    expect(owners([...TEN].reverse(), { random: () => 0.1 })).toEqual(ring);
    // Written down: another version of this software must not send clients elsewhere.
    expect(
      ring
        .slice(0, 6)
        .map((name) => name.at(-1))
        .join(""),
    ).toBe(GOLDEN);
  });

  test("a target that goes takes only its own clients along", () => {
    const before = owners(TEN);
    const after = owners(TEN.slice(1));
    const moved = before.filter((name, i) => name !== after[i]);
    expect(new Set(moved)).toEqual(new Set(["10.0.0.0"]));
    expect(moved.length).toBeGreaterThan(0);
  });

  test("the clients of an unhealthy target go on to others, and come back", () => {
    const balancer = make("consistent-hashing", TEN);
    const before = owners(TEN);
    const [gone, ...rest] = TEN;
    balancer.setAvailable(rest);
    for (const [i, hash] of KEYS.entries()) {
      const name = balancer.pick(NONE, hash)?.name;
      if (before[i] === gone?.name) expect(name).not.toBe(gone?.name);
      else expect(name).toBe(before[i]);
    }
    balancer.setAvailable(TEN);
    expect(KEYS.map((hash) => balancer.pick(NONE, hash)?.name)).toEqual(before);
  });

  test.each([
    [10, 10_000],
    [10, 10],
    [200, 10_000],
  ])("%i targets have like shares of %i slots", (count, slots) => {
    const peers = Array.from({ length: count }, (_, i) => peer(`t${i}`, 100));
    const shares = Object.values(tally(owners(peers, { slots })));
    expect(shares).toHaveLength(count);
    expect(Math.max(...shares)).toBeLessThan((2.5 * KEYS.length) / count);
  });

  test("weights count", () => {
    const { a = 0, b = 0 } = tally(owners([peer("a", 300), peer("b", 100)]));
    expect(a / b).toBeGreaterThan(2);
    expect(a / b).toBeLessThan(4.5);
  });

  test("requests that nothing tells apart go anywhere", () => {
    let at = 0;
    const balancer = make("consistent-hashing", TEN, {
      random: () => (at = (at + 0.317) % 1),
    });
    expect(Object.keys(tally(names(balancer, 100))).length).toBeGreaterThan(5);
  });
});

const GOLDEN = "082358";
