import fc from "fast-check";
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { WriteBudget } from "../../../src/cp/distributor/write-budget.ts";

const never = new AbortController().signal;

/** Waits, and returns what gives it back. */
async function acquire(
  budget: WriteBudget,
  bytes: number,
  signal: AbortSignal,
  priority = false,
): Promise<() => void> {
  await budget.wait(bytes, signal, priority);
  return () => {
    budget.giveBack(bytes);
  };
}

test("never hands out more than its limit, but for a single larger piece; gives everyone a turn in order, and everything back", async () => {
  const step = fc.oneof(
    fc.record({
      type: fc.constant("acquire" as const),
      bytes: fc.integer({ min: 0, max: 150 }),
    }),
    fc.record({ type: fc.constant("release" as const), n: fc.nat(20) }),
    fc.record({ type: fc.constant("abort" as const), n: fc.nat(20) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 60 }),
      async (steps) => {
        const budget = new WriteBudget(100);
        const admitted: number[] = [];
        const held = new Map<
          number,
          { readonly bytes: number; readonly release: () => void }
        >();
        const waiting = new Map<number, AbortController>();
        const aborted = new Set<number>();
        const check = (): void => {
          const bytes = [...held.values()].reduce((sum, h) => sum + h.bytes, 0);
          expect(budget.usedBytes).toBe(bytes);
          const sized = [...held.values()].filter((h) => h.bytes > 0);
          if (sized.length > 1) expect(bytes).toBeLessThanOrEqual(100);
        };
        for (const [i, action] of steps.entries()) {
          if (action.type === "acquire") {
            const abort = new AbortController();
            waiting.set(i, abort);
            void acquire(budget, action.bytes, abort.signal).then(
              (release) => {
                waiting.delete(i);
                admitted.push(i);
                held.set(i, { bytes: action.bytes, release });
              },
              () => {
                waiting.delete(i);
                aborted.add(i);
              },
            );
          } else if (action.type === "release") {
            const [id, mine] = [...held][action.n % held.size] ?? [];
            if (id === undefined || mine === undefined) continue;
            held.delete(id);
            mine.release();
          } else [...waiting.values()][action.n % waiting.size]?.abort();
          await turn();
          check();
        }
        // Give back all: everyone who still waits gets in.
        while (held.size > 0) {
          const [[id, mine] = []] = held;
          if (id === undefined || mine === undefined) break;
          held.delete(id);
          mine.release();
          await turn();
          check();
        }
        expect(waiting.size).toBe(0);
        expect(budget.usedBytes).toBe(0);
        expect(admitted).toEqual([...admitted].sort((a, b) => a - b));
        expect(admitted.length + aborted.size).toBe(
          steps.filter(({ type }) => type === "acquire").length,
        );
      },
    ),
    { numRuns: 200 },
  );
}, 30_000);

test("something larger than everything goes alone, and holds up what comes after it until it is done", async () => {
  const budget = new WriteBudget(100);
  const small = await acquire(budget, 10, never);
  let order = "";
  const large = acquire(budget, 1000, never).then((release) => {
    order += "large ";
    return release;
  });
  const next = acquire(budget, 1, never).then((release) => {
    order += "next ";
    return release;
  });
  await turn();
  // The small one would fit, and would starve the large one.
  expect(order).toBe("");
  small();
  (await large)();
  (await next)();
  expect(order).toBe("large next ");
  expect(budget.usedBytes).toBe(0);
});

test("whoever gives up while waiting gets the reason, takes nothing, and makes way", async () => {
  const budget = new WriteBudget(100);
  const first = await acquire(budget, 60, never);
  const abort = new AbortController();
  const waiting = acquire(budget, 60, abort.signal);
  const behind = acquire(budget, 40, never);
  const reason = new Error("gone");
  abort.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  const second = await behind;
  expect(budget.usedBytes).toBe(100);
  first();
  second();
  expect(budget.usedBytes).toBe(0);
  await expect(acquire(budget, 1, abort.signal)).rejects.toBe(reason);
  expect(budget.usedBytes).toBe(0);
});

test("who has priority goes before who has not, and after who has", async () => {
  const budget = new WriteBudget(100);
  const first = await acquire(budget, 100, never);
  const order: string[] = [];
  const waiting = [
    ["ordinary", false],
    ["priority", true],
    ["ordinary too", false],
    ["priority too", true],
  ] as const;
  const all = waiting.map(async ([name, priority]) => {
    const release = await acquire(budget, 100, never, priority);
    order.push(name);
    release();
  });
  expect(budget.waiting).toBe(4);
  first();
  await Promise.all(all);
  expect(order).toEqual([
    "priority",
    "priority too",
    "ordinary",
    "ordinary too",
  ]);
});

test("is taken at once when there is room and nobody waits, and not otherwise", async () => {
  const budget = new WriteBudget(100);
  expect(budget.take(60)).toBe(true);
  expect(budget.take(60)).toBe(false);
  const waiting = budget.wait(60, never);
  // Less, but others were there before.
  expect(budget.take(10)).toBe(false);
  budget.giveBack(60);
  await waiting;
  expect(budget.usedBytes).toBe(60);
  expect(budget.take(40)).toBe(true);
});
