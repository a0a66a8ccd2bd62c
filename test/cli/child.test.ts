import { afterEach, expect, test, vi } from "vitest";
import { Child, describeEnd } from "../../src/cli/up/child.ts";

// Each starts a process or two, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

const children: Child[] = [];
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.stop()));
});

/** A child that runs a script instead of this program. */
async function start(
  script: string,
  options: { signal?: AbortSignal; killAfterMs?: number } = {},
) {
  const log: string[] = [];
  const child = Child.start({
    title: "test part",
    program: { execPath: process.execPath, args: ["-e", script, "--"] },
    argv: ["cp", "--flag"],
    env: { ...process.env, HOLDFAST_CONFIG: "x", OTHER: "y" },
    log: { write: (text: string) => log.push(text) },
    signal: new AbortController().signal,
    ...options,
  });
  children.push(
    await child.catch((error: unknown) => Promise.reject(asError(error, log))),
  );
  return { child: await child, log };
}

function asError(error: unknown, log: string[]): Error {
  return new Error(`${String(error)} ${log.join("")}`);
}

const READY = `console.log(JSON.stringify({ event: "ready", argv: process.argv.slice(1), env: process.env.OTHER + process.env.HOLDFAST_CONFIG })); setInterval(() => {}, 1000);`;

test("a child is ready with what its first line says, and sees no settings of this process", async () => {
  const { child } = await start(READY);
  expect(child.ready).toEqual({
    event: "ready",
    argv: ["cp", "--flag"],
    env: "yundefined",
  });
  expect(child.pid).toBeGreaterThan(0);
});

test("what it logs is passed on, marked with whose it is", async () => {
  const { child, log } = await start(`console.error("one\\ntwo"); ${READY}`);
  await child.stop();
  expect(log.join("")).toBe("cp | one\ncp | two\n");
});

test("a child that ends before it is ready fails the start, and says why", async () => {
  await expect(
    start(`console.error("because"); process.exit(3)`),
  ).rejects.toThrow(
    /the test part ended with 3 before it was ready.*cp \| because/s,
  );
});

test("a child that is killed says by what", async () => {
  const { child } = await start(READY);
  process.kill(child.pid, "SIGKILL");
  expect(describeEnd(await child.ended)).toBe("was killed by SIGKILL");
});

test("one that does not end when it is asked is killed", async () => {
  const { child } = await start(`process.on("SIGTERM", () => {}); ${READY}`, {
    killAfterMs: 50,
  });
  await child.stop();
  expect(await child.ended).toEqual({ code: null, signal: "SIGKILL" });
});

test("stopping one that has ended already does nothing", async () => {
  const { child } = await start(READY);
  await child.stop();
  await child.stop();
  expect(await child.ended).toEqual({ code: null, signal: "SIGTERM" });
});

test("a start that is interrupted leaves nothing running", async () => {
  const stop = new AbortController();
  let pid = 0;
  const log = {
    write(text: string) {
      pid = Number(text.split(" ").at(-1));
      stop.abort();
    },
  };
  await expect(
    Child.start({
      title: "test part",
      program: {
        execPath: process.execPath,
        args: [
          "-e",
          "console.error(process.pid); setInterval(() => {}, 1000)",
          "--",
        ],
      },
      argv: ["cp"],
      env: process.env,
      log,
      signal: stop.signal,
    }),
  ).rejects.toThrow("interrupted");
  expect(pid).toBeGreaterThan(0);
  expect(() => process.kill(pid, 0)).toThrow("ESRCH");
});
