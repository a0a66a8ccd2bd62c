import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import {
  HOLDFAST,
  holdfast,
  HoldfastProcess,
} from "../support/holdfast-process.ts";
import { TempDir } from "../support/temp-dir.ts";

/** `holdfast up` with its output as it comes. */
class Up implements AsyncDisposable {
  stdout = "";
  stderr = "";
  readonly #child;
  readonly #exit: Promise<number | null>;

  constructor(directory: string, ...argv: readonly string[]) {
    this.#child = spawn(process.execPath, [HOLDFAST, "up", ...argv], {
      cwd: directory,
      stdio: ["ignore", "pipe", "pipe"],
    });
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      this.stdout += `${line}\n`;
    });
    createInterface({ input: this.#child.stderr }).on("line", (line) => {
      this.stderr += `${line}\n`;
    });
    this.#exit = once(this.#child, "close").then(
      ([code]) => code as number | null,
    );
  }

  /** The first group of a pattern in what it printed, as soon as it is there. */
  printed(pattern: RegExp): Promise<string> {
    return eventually(
      () => pattern.exec(this.stdout)?.[1],
      `${String(pattern)} in what up prints:\n${this.stdout}\n${this.stderr}`,
      40_000,
    );
  }

  async interrupt(): Promise<number | null> {
    this.#child.kill("SIGINT");
    return this.#exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#exit;
  }
}

const ANY_PORTS = [
  "--proxy-listen",
  "127.0.0.1:0",
  "--admin-listen",
  "127.0.0.1:0",
  "--sync-listen",
  "127.0.0.1:0",
  "--status-listen",
  "127.0.0.1:0",
  "--echo-listen",
  "127.0.0.1:0",
  "--echo-listen",
  "127.0.0.1:0",
];

test("up serves the quick start, survives the death of its control plane, and Ctrl-C ends all of it", async () => {
  await using dir = await TempDir.make();
  await using up = new Up(dir.path, ...ANY_PORTS);
  const proxy = await up.printed(/proxy (http:\S+)/);
  const admin = await up.printed(/admin (http:\S+)/);
  const cpPid = Number(await up.printed(/control plane +pid (\d+)/));
  const dpPid = Number(await up.printed(/data plane +pid (\d+)/));
  await up.printed(/(Ctrl-C)/);

  const echo = await fetch(`${proxy}/echo/hello`);
  expect(echo.status).toBe(200);
  expect(await echo.json()).toMatchObject({ method: "GET", path: "/hello" });
  expect((await fetch(`${proxy}/private`)).status).toBe(401);
  expect(
    (await fetch(`${proxy}/private`, { headers: { apikey: "alice-key" } }))
      .status,
  ).toBe(200);
  expect((await fetch(`${proxy}/orders/12`)).status).toBe(200);
  expect((await fetch(`${proxy}/orders/twelve`)).status).toBe(404);
  const nodes = await holdfast("nodes", "--admin", admin);
  expect(nodes.code).toBe(0);

  process.kill(cpPid, "SIGKILL");
  await eventually(
    () => up.stderr.includes(`pid ${cpPid}`) || undefined,
    "the death to be reported",
  );
  expect((await fetch(`${proxy}/echo/hello`)).status).toBe(200);

  // The command that it prints for this starts the control plane again.
  const command = new RegExp(
    String.raw`main\.js (cp --admin-listen .*--insecure-sync)`,
  ).exec(up.stderr)?.[1];
  expect(command).toBeDefined();
  const argv = (command ?? "").split(" ");
  const data = argv.indexOf("--data-dir") + 1;
  argv[data] = dir.join(argv[data] ?? "");
  await using cp = await HoldfastProcess.start(...argv);
  expect(cp.url("admin")).toBe(admin);
  expect((await holdfast("wait", "1", "--admin", admin)).code).toBe(0);

  expect(await up.interrupt()).toBe(0);
  await eventually(() => {
    try {
      process.kill(dpPid, 0);
      return undefined;
    } catch {
      return true;
    }
  }, "the data plane to be gone");
});

test("a taken port ends up with 1 and names the flag that moves it", async () => {
  await using dir = await TempDir.make();
  const taken = createServer();
  taken.listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const output = await holdfast(
    "up",
    "--data-dir",
    dir.join("data"),
    ...ANY_PORTS.map((argument, i) =>
      ANY_PORTS[i - 1] === "--admin-listen" ? `127.0.0.1:${port}` : argument,
    ),
  ).finally(() => {
    taken.close();
  });
  expect(output.stderr).toContain("--admin-listen");
  expect(output.code).toBe(1);
});
