import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test, vi } from "vitest";

// Each starts a process or two, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const started: ChildProcess[] = [];
afterEach(async () => {
  for (const child of started.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

/** A process of its own, with an IPC channel like one that `holdfast up` starts. */
function start(...argv: string[]) {
  const child = spawn(process.execPath, ["--import", "tsx", main, ...argv], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  started.push(child);
  const exited = once(child, "exit").then(([code, signal]: unknown[]) => ({
    code,
    signal,
  }));
  return { child, exited, stdout: child.stdout!, stderr: child.stderr! };
}

/** A process that runs a script with the program's modules. */
function startScript(script: string) {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "-e", script],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  started.push(child);
  const exited = once(child, "exit").then(([code, signal]: unknown[]) => ({
    code,
    signal,
  }));
  return { child, exited, stdout: child.stdout, stderr: child.stderr };
}

const moduleUrl = (name: string) =>
  JSON.stringify(new URL(`../../src/${name}`, import.meta.url).href);

async function startEcho() {
  const run = start("echo", "--listen", "127.0.0.1:0");
  const lines = createInterface({ input: run.stdout });
  const [line] = (await once(lines, "line")) as [string];
  return { ...run, ready: JSON.parse(line) as { addresses: [string] } };
}

test("a process that serves says where in one line of JSON, and ends with 0 on SIGTERM", async () => {
  const { child, exited, ready } = await startEcho();
  expect(ready).toMatchObject({ event: "ready", role: "echo" });
  const answer = await fetch(`http://${ready.addresses[0]}/a?b=c`, {
    headers: { "x-test": "1" },
  });
  expect(await answer.json()).toMatchObject({
    name: "echo-1",
    method: "GET",
    path: "/a?b=c",
    headers: { "x-test": "1" },
  });
  child.kill("SIGTERM");
  expect(await exited).toEqual({ code: 0, signal: null });
});

test("it ends with the process that started it", async () => {
  const { child, exited } = await startEcho();
  child.disconnect();
  expect(await exited).toEqual({ code: 0, signal: null });
});

test("an address that is taken is logged as JSON, without where in the code, and ends with 1", async () => {
  const blocker = createServer().listen(0, "127.0.0.1");
  await once(blocker, "listening");
  const { port } = blocker.address() as AddressInfo;
  const { exited, stderr } = start("echo", "--listen", `127.0.0.1:${port}`);
  const logged = JSON.parse(await text(stderr)) as unknown;
  expect(logged).toMatchObject({ level: "error", event: "process.failed" });
  expect(JSON.stringify(logged)).not.toContain("node:net");
  expect(JSON.stringify(logged)).toContain(`127.0.0.1:${port}`);
  expect((await exited).code).toBe(1);
  blocker.close();
});

test("a reader that goes away ends the command quietly", async () => {
  const { exited, stdout, stderr } = start("--help");
  stdout.destroy();
  expect(await text(stderr)).toBe("");
  expect((await exited).signal).toBeNull();
});

test("up with a port that is taken ends with 1, names the flag and starts nothing", async () => {
  const blocker = createServer().listen(0, "127.0.0.1");
  await once(blocker, "listening");
  const { port } = blocker.address() as AddressInfo;
  const { exited, stdout, stderr } = start(
    ...["up", "--sync-listen", `127.0.0.1:${port}`],
    ...["--proxy-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
    ...["--status-listen", "127.0.0.1:0"],
    ...["--echo-listen", "127.0.0.1:0", "--echo-listen", "127.0.0.1:0"],
  );
  expect(await text(stderr)).toBe(
    `holdfast up: port ${port} is taken: something else listens on 127.0.0.1:${port} already. Choose another place with --sync-listen HOST:PORT.\n`,
  );
  expect(await text(stdout)).toBe("");
  expect((await exited).code).toBe(1);
  blocker.close();
});

test("a second signal ends it at once, the same one passed on twice does not", async () => {
  const { child, exited, stdout } = startScript(`
    const { processIo } = await import(${moduleUrl("cli/process-io.ts")});
    processIo().stop.addEventListener("abort", () => {
      console.log("stopping");
      process.kill(process.pid, "SIGINT");
      setTimeout(() => console.log("still there"), 1500);
    });
    setInterval(() => {}, 1000);
    console.log("ready");
  `);
  const lines = createInterface({ input: stdout });
  await once(lines, "line");
  child.kill("SIGINT");
  expect(await once(lines, "line")).toEqual(["stopping"]);
  expect(await once(lines, "line")).toEqual(["still there"]);
  child.kill("SIGTERM");
  expect(await exited).toEqual({ code: 128 + 15, signal: null });
});

test("a stop that hangs in a thread that nothing can wake ends all the same", async () => {
  const { child, exited, stderr } = startScript(`
    const { processIo, endProcess } = await import(${moduleUrl("cli/process-io.ts")});
    const { serve } = await import(${moduleUrl("cli/serve.ts")});
    const { createLogger } = await import(${moduleUrl("runtime/logger.ts")});
    const { systemClock } = await import(${moduleUrl("runtime/clock.ts")});
    const { execFileSync } = await import("node:child_process");
    const { mkdtempSync, rmSync } = await import("node:fs");
    const { open } = await import("node:fs/promises");
    const dir = mkdtempSync("/tmp/holdfast-test-");
    execFileSync("mkfifo", [dir + "/pipe"]);
    const clock = { ...systemClock, sleep: async () => { await systemClock.sleep(200); rmSync(dir, { recursive: true }); } };
    const opened = open(dir + "/pipe", "r");
    endProcess(await serve(processIo(), { clock, logger: createLogger("info") }, async () => ({
      [Symbol.asyncDispose]: () => opened,
    }), () => { setTimeout(() => process.kill(process.pid, "SIGTERM"), 10); return {}; }));
  `);
  expect(await text(stderr)).toContain('"process.stop_took_too_long"');
  expect(await exited).toEqual({ code: null, signal: "SIGKILL" });
  expect(child.killed).toBe(false);
});

test("an error that nobody caught is logged as JSON and ends with 1", async () => {
  const { exited, stderr } = startScript(`
    const { processIo, endProcess } = await import(${moduleUrl("cli/process-io.ts")});
    const { serve } = await import(${moduleUrl("cli/serve.ts")});
    const { createLogger } = await import(${moduleUrl("runtime/logger.ts")});
    const { systemClock } = await import(${moduleUrl("runtime/clock.ts")});
    const deps = { clock: systemClock, logger: createLogger("info") };
    endProcess(await serve(processIo(), deps, async () => {
      setTimeout(() => Promise.reject(new Error("boom")), 10);
      return { [Symbol.asyncDispose]: async () => {} };
    }, () => ({})));
  `);
  const logged = JSON.parse(await text(stderr)) as unknown;
  expect(logged).toMatchObject({
    level: "error",
    event: "process.crashed",
    err: { message: "boom" },
  });
  expect(await exited).toEqual({ code: 1, signal: null });
});
