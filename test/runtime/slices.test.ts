import { expect, test } from "vitest";
import { SLICE_ENTRIES, type Slices } from "../../src/model/slices.ts";
import { driveSlices, TURN_ENTRIES } from "../../src/runtime/slices.ts";

const frozen = { monotonic: () => 0 };

function* slices(count: number, onEnd = (): void => {}): Slices<string> {
  try {
    for (let i = 0; i < count; i++) yield SLICE_ENTRIES;
    return "done";
  } finally {
    onEnd();
  }
}

test("work gives its result", async () => {
  expect(await driveSlices(slices(3))).toBe("done");
});

test("the event loop turns after a number of entries, however fast they went", async () => {
  const yields: number[] = [];
  let turns = 0;
  const counting = setInterval(() => turns++, 0);
  await driveSlices(slices(100), {
    clock: frozen,
    onYield: (entries) => yields.push(entries),
  });
  clearInterval(counting);
  expect(yields).toHaveLength(Math.floor((100 * SLICE_ENTRIES) / TURN_ENTRIES));
  expect(Math.max(...yields)).toBeLessThanOrEqual(TURN_ENTRIES);
});

test("the event loop turns when time has passed, however few entries were handled", async () => {
  let now = 0;
  const yields: number[] = [];
  await driveSlices(slices(6), {
    // Each look at the clock finds it 3 ms later.
    clock: { monotonic: () => (now += 3) },
    onYield: (entries) => yields.push(entries),
  });
  expect(yields).toEqual([
    2 * SLICE_ENTRIES,
    2 * SLICE_ENTRIES,
    2 * SLICE_ENTRIES,
  ]);
});

test("others run in between", async () => {
  const order: string[] = [];
  const work = driveSlices(slices(2 * 8), {
    clock: frozen,
    onYield: () => order.push("yield"),
  }).then(() => order.push("end"));
  setImmediate(() => order.push("other"));
  await work;
  expect(order.indexOf("other")).toBeGreaterThan(0);
  expect(order.at(-1)).toBe("end");
});

test("an abort ends the work at its next pause and lets it clean up", async () => {
  const controller = new AbortController();
  let cleaned = false;
  const work = driveSlices(
    slices(1_000_000, () => {
      cleaned = true;
    }),
    { signal: controller.signal, clock: frozen },
  );
  controller.abort(new Error("stop"));
  await expect(work).rejects.toThrow("stop");
  expect(cleaned).toBe(true);
});

test("work with a signal that is already aborted does not start", async () => {
  let started = false;
  function* work(): Slices<void> {
    started = true;
    yield 1;
  }
  await expect(
    driveSlices(work(), { signal: AbortSignal.abort(new Error("before")) }),
  ).rejects.toThrow("before");
  expect(started).toBe(false);
});

test("an error of the work is its caller's", async () => {
  function* work(): Slices<void> {
    yield 1;
    throw new Error("broken bucket");
  }
  await expect(driveSlices(work())).rejects.toThrow("broken bucket");
});
