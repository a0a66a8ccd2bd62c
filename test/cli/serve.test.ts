import { expect, test } from "vitest";
import { serve } from "../../src/cli/serve.ts";
import type { Io } from "../../src/cli/io.ts";
import { systemClock, type Clock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { Readable } from "node:stream";
import { RecordingLogger } from "../support/recording-logger.ts";

const deps = { clock: systemClock, logger: silentLogger };

function fakeIo(stop = new AbortController()) {
  let stdout = "";
  const io: Io = {
    stdin: Readable.from([]),
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: () => true },
    program: { execPath: "", args: [] },
    stop: stop.signal,
  };
  return {
    io,
    stdout: () => stdout,
    /** What it is ready with, and what asks it to end then. */
    stopOnceReady: () => {
      stop.abort();
      return {};
    },
  };
}

test("what was started is closed before the command ends", async () => {
  const stop = new AbortController();
  const { io, stdout } = fakeIo(stop);
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
  const { io, stdout } = fakeIo();
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

test("asked to end before it has started, it starts nothing, says so and ends with 0", async () => {
  const stop = new AbortController();
  stop.abort();
  const { io, stdout } = fakeIo(stop);
  const logger = new RecordingLogger();
  const code = await serve(
    io,
    { clock: systemClock, logger },
    () => Promise.reject(new Error("it was started")),
    () => ({}),
  );
  expect(code).toBe(0);
  expect(logger.events).toEqual(["process.stopped"]);
  expect(stdout()).toBe("");
});

test("a close that fails ends with 1", async () => {
  const { io, stopOnceReady } = fakeIo();
  const code = await serve(
    io,
    deps,
    async () => ({
      [Symbol.asyncDispose]: () => Promise.reject(new Error("no")),
    }),
    stopOnceReady,
  );
  expect(code).toBe(1);
});

test("no listener for uncaught errors is left behind", async () => {
  const before = process.listenerCount("uncaughtException");
  const { io, stopOnceReady } = fakeIo();
  await serve(
    io,
    deps,
    async () => ({ [Symbol.asyncDispose]: async () => {} }),
    stopOnceReady,
  );
  expect(process.listenerCount("uncaughtException")).toBe(before);
});

test("a close that takes longer than 10 s is not waited for: it ends with 0", async () => {
  const { io, stopOnceReady } = fakeIo();
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
    stopOnceReady,
  );
  expect(code).toBe(0);
  expect(slept).toHaveLength(1);
  expect(slept[0]).toBeLessThan(10_000);
});
