import { describe, expect, test } from "vitest";
import { Attempt, type Participant } from "../../../src/dp/workers/attempt.ts";
import { stateOf } from "../../support/states.ts";

const STATE = stateOf(2);
const NEWS = {
  ok: true,
  degraded: [],
  warnings: [],
  counts: { routes: 1, services: 0 },
} as const;

const preparing: Participant = { handed: { state: STATE, prepared: false } };
const done = (): Participant => ({ handed: { state: STATE, prepared: true } });

/** What came of it so far. */
async function resultOf(attempt: Attempt): Promise<unknown> {
  return Promise.race([attempt.result, Promise.resolve("nothing yet")]);
}

describe("preparing a state in all workers", () => {
  test("is over when the last that serves has prepared it, and not before", async () => {
    const attempt = new Attempt(STATE, 2, undefined);
    const [a, b] = [done(), done()];
    attempt.arrived(a, NEWS);
    attempt.settle([a, preparing], [a, preparing]);
    expect(await resultOf(attempt)).toBe("nothing yet");
    attempt.arrived(b, NEWS);
    attempt.settle([a, b], [a, b]);
    expect(await resultOf(attempt)).toMatchObject({
      ok: true,
      prepared: { cursor: STATE.cursor, counts: { routes: 1 } },
    });
  });

  test("waits for the replacement of one that died, until that is given up", async () => {
    const attempt = new Attempt(STATE, 2, undefined);
    const a = done();
    attempt.arrived(a, NEWS);
    expect(attempt.crashed(preparing, "was killed by SIGSEGV")).toBe(false);
    attempt.settle([a], [a]);
    expect(await resultOf(attempt)).toBe("nothing yet");
    attempt.expectNoMore();
    attempt.settle([a], [a]);
    expect(await resultOf(attempt)).toMatchObject({ ok: true });
  });

  test("ends with the third worker that dies of it: the state is refused as one that crashes", async () => {
    const attempt = new Attempt(STATE, 2, undefined);
    expect(
      [1, 2, 3].map(() => attempt.crashed(preparing, "was killed by SIGSEGV")),
    ).toEqual([false, false, true]);
    expect(await resultOf(attempt)).toMatchObject({
      ok: false,
      class: "CRASHED",
      violations: [
        { reason: expect.stringContaining("killed by SIGSEGV") as string },
      ],
    });
  });

  test("never ends well with no worker that has prepared it", async () => {
    const attempt = new Attempt(STATE, 0, undefined);
    attempt.settle([], []);
    expect(await resultOf(attempt)).toBe("nothing yet");
    attempt.cancel();
    await expect(attempt.result).rejects.toThrow(/not wanted/);
  });

  test("tells how far the slowest is", () => {
    const heard: (readonly [number, number])[] = [];
    const attempt = new Attempt(STATE, 2, (step, total) => {
      heard.push([step, total]);
    });
    const [a, b] = [done(), done()];
    attempt.progress(a, 50, 100);
    attempt.progress(b, 10, 100);
    attempt.progress(a, 90, 100);
    attempt.arrived(b, NEWS);
    attempt.progress(a, 95, 100);
    expect(heard).toEqual([
      [50, 100],
      [10, 100],
      [10, 100],
      [95, 100],
    ]);
  });
});
