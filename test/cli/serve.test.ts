import { expect, test } from "vitest";
import { serve } from "../../src/cli/serve.ts";
import type { Io } from "../../src/cli/io.ts";
import { systemClock, type Clock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { Readable } from "node:stream";

const deps = { clock: systemClock, logger: silentLogger };

function fakeIo(stop: AbortSignal) {
  let stdout = "";
  const io: Io = {
    stdin: Readable.from([]),
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: () => true },
    program: { execPath: "", args: [] },
    stop,
  };
  return { io, stdout: () => stdout };
}

test("what was started is closed before the command ends", async () => {
  const stop = new AbortController();
  const { io, stdout } = fakeIo(stop.signal);
  const events: string[] = [];
  const ended = serve(
    io,
    deps,
    async () => ({
      async [Symbol.asyncDispose]() {
        await Promise.resolve();
        events.push("closed");
      },
    }),
    () => {
      queueMicrotask(() => stop.abort());
      return { role: "x" };
    },
  );
  expect(await ended).toBe(0);
  expect(events).toEqual(["closed"]);
  expect(stdout()).toBe('{"event":"ready","role":"x"}\n');
});

test("a start that fails ends with 1 and prints nothing on standard output", async () => {
  const { io, stdout } = fakeIo(new AbortController().signal);
  const code = await serve(
    io,
    deps,
    async (): Promise<AsyncDisposable> => {
      throw new Error("no");
    },
    () => ({}),
  );
  expect(code).toBe(1);
  expect(stdout()).toBe("");
});

test("a close that fails ends with 1", async () => {
  const { io } = fakeIo(AbortSignal.abort());
  const code = await serve(
    io,
    deps,
    async () => ({
      [Symbol.asyncDispose]: () => Promise.reject(new Error("no")),
    }),
    () => ({}),
  );
  expect(code).toBe(1);
});

test("no listener for uncaught errors is left behind", async () => {
  const before = process.listenerCount("uncaughtException");
  const { io } = fakeIo(AbortSignal.abort());
  await serve(
    io,
    deps,
    async () => ({ [Symbol.asyncDispose]: async () => {} }),
    () => ({}),
  );
  expect(process.listenerCount("uncaughtException")).toBe(before);
});

test("a close that takes longer than 10 s is not waited for: it ends with 0", async () => {
  const { io } = fakeIo(AbortSignal.abort());
  const slept: number[] = [];
  const clock: Clock = {
    ...systemClock,
    sleep: async (delayMs) => {
      slept.push(delayMs);
    },
  };
  const code = await serve(
    io,
    { clock, logger: silentLogger },
    async () => ({ [Symbol.asyncDispose]: () => new Promise<void>(() => {}) }),
    () => ({}),
  );
  expect(code).toBe(0);
  expect(slept).toHaveLength(1);
  expect(slept[0]).toBeLessThan(10_000);
});
