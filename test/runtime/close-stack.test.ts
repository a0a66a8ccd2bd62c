import { describe, expect, test } from "vitest";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** A resource that says when it is closed. */
function resource(name: string, log: string[]): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: () => {
      log.push(name);
      return Promise.resolve();
    },
  };
}

describe("closing", () => {
  test("goes from the newest to the oldest, one after the other", async () => {
    const log: string[] = [];
    const clock = new ManualClock();
    const stack = new CloseStack();
    stack.use(resource("oldest", log));
    stack.defer(async () => {
      log.push("slow begins");
      await clock.sleep(10);
      log.push("slow ends");
    });
    const newest = resource("newest", log);
    expect(stack.use(newest)).toBe(newest);
    const closing = stack.close();
    await eventually(() => log.includes("slow begins"), "the slow one");
    expect(log).toEqual(["newest", "slow begins"]);
    clock.advance(10);
    await closing;
    expect(log).toEqual(["newest", "slow begins", "slow ends", "oldest"]);
  });

  test("happens once, whoever asks, and all wait for it", async () => {
    const log: string[] = [];
    const stack = new CloseStack();
    stack.use(resource("it", log));
    await Promise.all([
      stack.close(),
      stack[Symbol.asyncDispose](),
      stack.close(),
    ]);
    await stack.close();
    expect(log).toEqual(["it"]);
  });

  test("goes on after an error and fails with it; with all of them when there are several", async () => {
    const log: string[] = [];
    const fail = (message: string) => () => {
      log.push(message);
      throw new Error(message);
    };
    const one = new CloseStack();
    one.use(resource("first", log));
    one.defer(fail("second"));
    await expect(one.close()).rejects.toThrow("second");
    expect(log).toEqual(["second", "first"]);
    await expect(one.close()).rejects.toThrow("second");

    const two = new CloseStack();
    two.defer(fail("a"));
    two.defer(() => Promise.reject(new Error("b")));
    await expect(two.close()).rejects.toMatchObject({
      message: "several resources failed to close",
      errors: [{ message: "b" }, { message: "a" }],
    });
  });

  test("takes up what is added while it goes on", async () => {
    const log: string[] = [];
    const stack = new CloseStack();
    stack.defer(() => {
      stack.use(resource("late", log));
    });
    await stack.close();
    expect(log).toEqual(["late"]);
  });
});

test("what was moved is the new owner's: a start that works keeps it, one that fails leaks nothing", async () => {
  const log: string[] = [];
  const start = async (fails: boolean): Promise<CloseStack> => {
    await using stack = new CloseStack();
    stack.use(resource("it", log));
    await Promise.resolve();
    if (fails) throw new Error("no");
    return stack.move();
  };
  await expect(start(true)).rejects.toThrow("no");
  expect(log).toEqual(["it"]);
  const owned = await start(false);
  expect(log).toEqual(["it"]);
  await owned.close();
  expect(log).toEqual(["it", "it"]);
});
