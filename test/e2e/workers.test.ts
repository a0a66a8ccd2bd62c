import { mkdir, symlink, writeFile } from "node:fs/promises";
import { Agent } from "node:http";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { putting } from "../support/admin-client.ts";
import { eventually } from "../support/eventually.ts";
import { logged, untilLogged } from "../support/logged.ts";
import { resource } from "../support/resources.ts";
import { TempDir } from "../support/temp-dir.ts";
import { lives, WorkerNode, type Answered } from "../support/worker-node.ts";

const PACKAGE = "holdfast-plugin-api-version";

/** Tells the upstream which worker asks it, and never returns when it is asked for "/loop". */
const LOOP = `export const plugin = {
  name: "loop",
  version: 1,
  priority: 1,
  validate: () => [],
  create: (_config, { pid }) => ({
    access({ request, upstream }) {
      upstream.headers.set("X-Worker", String(pid));
      while (request.rawPath === "/loop");
    },
  }),
};`;

/** Installs the example of a plugin as npm does, for whoever runs in this directory. */
async function install(directory: string): Promise<void> {
  const example = new URL("../../examples/plugin", import.meta.url);
  const modules = join(directory, "node_modules");
  await mkdir(modules);
  await symlink(fileURLToPath(example), join(modules, PACKAGE));
}

/** Two upstreams with a target on this port. */
function upstreamsOf(port: number) {
  return ["a.up", "b.up"].flatMap((name) => [
    putting(resource("upstream", { name })),
    putting(
      resource("target", { upstream: { name }, target: `127.0.0.1:${port}` }),
    ),
  ]);
}

function first<T>(list: readonly T[]): T {
  const [one] = list;
  if (one === undefined) throw new Error("there is none");
  return one;
}

test("a worker that is killed under load takes its own requests along and no others; its replacement serves what was published meanwhile, and what was counted stays counted", async () => {
  await using node = await WorkerNode.start();
  const [killed, other] = await node.untilServed("1");
  if (killed === undefined || other === undefined) throw new Error("two");
  const stop = new AbortController();
  const answers: Answered[] = [];
  // One connection each, in turn with one worker and with the other.
  const client = async (agent: Agent): Promise<void> => {
    while (!stop.signal.aborted) {
      answers.push(await node.get("/", agent));
      await delay(2);
    }
    agent.destroy();
  };
  const clients = Array.from({ length: 8 }, () =>
    client(new Agent({ keepAlive: true, maxSockets: 1 })),
  );
  await eventually(async () => {
    await delay(20);
    return answers.length > 200 || undefined;
  }, "some answers");
  const before = await node.served();
  process.kill(killed.pid, "SIGKILL");
  await node.change();
  const workers = await node.untilServed("2");
  expect(workers.find(({ worker }) => worker === killed.worker)).toMatchObject({
    restarts: 1,
    last_end: "was killed by SIGKILL",
  });
  expect(workers).toContainEqual(
    expect.objectContaining({ pid: other.pid, restarts: 0 }) as unknown,
  );
  expect(await node.served()).toBeGreaterThanOrEqual(before);
  stop.abort();
  await Promise.all(clients);
  // Four clients were the killed worker's: each can have lost the request that was under way, and one that went out on
  // the connection before its end was seen.
  const failed = answers.filter((answer) => answer !== 200);
  expect(failed.filter((answer) => answer !== "none")).toEqual([]);
  expect(failed.length).toBeLessThanOrEqual(8);
  const [, second] = [await node.get(), await node.get()];
  expect(second).toBe(200);
  // All of them are told of in the end: what was counted since the last look is all that may have gone with the worker.
  await eventually(async () => {
    await delay(50);
    expect(await node.served()).toBeGreaterThan(before);
    return true;
  }, "the metrics to go on");
}, 120_000);

test("workers that hang, silent or in a loop without end, are replaced while another serves; what was published meanwhile waits for that and is served by all", async () => {
  await using installed = await TempDir.make();
  await install(installed.path);
  const loop = installed.join("loop.mjs");
  await writeFile(loop, LOOP);
  const askedBy: string[] = [];
  await using node = await WorkerNode.start(
    (request, response) => {
      askedBy.push(String(request.headers["x-worker"]));
      response.end();
    },
    {
      workers: 3,
      directory: installed.path,
      flags: ["--plugin", PACKAGE, "--plugin", loop, "--access-log", "stdout"],
    },
  );
  await node.admin.config.transact({
    operations: [
      putting(resource("plugin", { name: "loop", config: {} })),
      putting(
        resource("plugin", {
          name: "api-version",
          config: { supported: ["7"], fallback: "7" },
        }),
      ),
      ...upstreamsOf(node.upstream.port),
    ],
  });
  const workers = await node.untilServed("2");
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  expect(await node.get("/who", agent)).toBe(200);
  const looping = workers.find(({ pid }) => String(pid) === askedBy[0]);
  const [stopped, calm] = workers.filter((worker) => worker !== looping);
  if (looping === undefined || stopped === undefined || calm === undefined)
    throw new Error("no such workers");
  const lost = node.get("/loop", agent);
  process.kill(stopped.pid, "SIGSTOP");
  await node.change();
  const after = await node.untilServed("3", 40_000);
  for (const { worker, pid } of [looping, stopped]) {
    const replaced = after.find((one) => one.worker === worker);
    expect(replaced).toMatchObject({ restarts: 1 });
    expect(replaced?.last_end).toMatch(/no sign of life for 10 s/);
    expect(lives(pid)).toBe(false);
  }
  expect(after).toContainEqual(
    expect.objectContaining({ pid: calm.pid, restarts: 0 }) as unknown,
  );
  expect(await lost).toBe("none");
  agent.destroy();
  const { nodes } = await node.admin.nodes.listNodes({});
  expect(nodes).toMatchObject([{ inSync: true, serving: { revision: 3n } }]);
  // The replacements have the plugins too: each of the three is asked.
  for (let i = 0; i < 3; i++) expect(await node.get(`/after/${i}`)).toBe(200);
  expect(new Set(askedBy.slice(-3))).toEqual(
    new Set(after.map(({ pid }) => String(pid))),
  );
  await eventually(async () => {
    await delay(20);
    const lines = node.dp.output
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ uri }) => String(uri).startsWith("/after/"));
    expect(lines).toHaveLength(3);
    for (const line of lines)
      expect(line).toMatchObject({ event: "request", status: 200 });
    return true;
  }, "a line on standard output for each request");
  const page = await fetch(node.dp.url("status", "/status/upstreams"));
  expect(await page.json()).toMatchObject({
    upstreams: ["a.up", "b.up"].map((name) => ({
      name,
      health: "HEALTHCHECKS_OFF",
      targets: [{ target: `127.0.0.1:${node.upstream.port}` }],
    })),
  });
  const health = async (pageToken = "") =>
    node.admin.nodes.listUpstreamHealth({ pageSize: 1, pageToken });
  const [first, second] = await eventually(async () => {
    await delay(50);
    const page = await health();
    const next = await health(page.nextPageToken);
    return next.upstreams.length === 1 ? ([page, next] as const) : undefined;
  }, "both upstreams in the report of the node");
  expect(first.upstreams[0]?.upstream).not.toBe(second.upstreams[0]?.upstream);
  expect(second.nextPageToken).toBe("");
}, 120_000);

test("three workers that die within ten seconds of a new state: the one before is served in its place, the control plane is told, and the next is taken up", async () => {
  await using node = await WorkerNode.start();
  await node.change();
  await node.untilServed("2");
  for (let crashes = 0; crashes < 3; crashes++) {
    const workers = await node.until(
      (all) =>
        all.some(
          ({ state, revision }) => state === "serving" && revision === "2",
        ),
      "a worker that serves the new state",
    );
    process.kill(
      first(workers.filter(({ state }) => state === "serving")).pid,
      "SIGKILL",
    );
    await node.until(
      (all) => all.reduce((sum, { restarts }) => sum + restarts, 0) > crashes,
      "it to be replaced",
    );
  }
  expect(await untilLogged(node.dp, "replica.quarantined")).toMatchObject({
    quarantined: expect.stringMatching(/^revision 2 /) as string,
    serving: expect.stringMatching(/^revision 1 /) as string,
  });
  await node.untilServed("1");
  expect(await node.get()).toBe(200);
  await eventually(async () => {
    await delay(50);
    const { nodes } = await node.admin.nodes.listNodes({});
    expect(nodes).toMatchObject([
      {
        connected: true,
        inSync: false,
        serving: { revision: 1n },
        lastNack: { class: "CRASHED", cursor: { revision: 2n } },
      },
    ]);
    return true;
  }, "the control plane to know");
  await node.change();
  await node.untilServed("3");
}, 120_000);

test("when the data plane's process is killed its workers end, and the next one listens on the same port and serves from the disk", async () => {
  await using node = await WorkerNode.start();
  const workers = await node.untilServed("1");
  const listen = node.dp.address("proxy");
  await node.dp.kill("SIGKILL");
  await node.cp.kill("SIGKILL");
  await eventually(async () => {
    await delay(20);
    return !workers.some(({ pid }) => lives(pid)) || undefined;
  }, "the workers to end");
  await node.startDp(listen);
  expect(node.dp.address("proxy")).toBe(listen);
  expect(await node.get()).toBe(200);
  await node.untilServed("1");
}, 120_000);

test("a request to end reaches all workers: what is under way is answered; Ctrl-C at one of them does nothing", async () => {
  const held: ServerResponse[] = [];
  await using node = await WorkerNode.start((_request, response) => {
    held.push(response);
  });
  for (const { pid } of await node.untilServed("1"))
    process.kill(pid, "SIGINT");
  const requests = Array.from({ length: 4 }, () => node.get());
  await eventually(async () => {
    await delay(20);
    return held.length === 4 || undefined;
  }, "the requests at the upstream");
  const workers = await node.untilServed("1");
  const ended = node.dp.kill("SIGTERM");
  await untilLogged(node.dp, "process.stopping");
  await delay(100);
  for (const response of held) response.end("done");
  expect(await Promise.all(requests)).toEqual([200, 200, 200, 200]);
  expect(await ended).toEqual({ code: 0, signal: null });
  expect(workers.filter(({ pid }) => lives(pid))).toEqual([]);
  expect(logged(node.dp, "worker.lost")).toEqual([]);
}, 120_000);

test("a limit holds for all workers together, exactly", async () => {
  await using node = await WorkerNode.start();
  await node.admin.config.transact({
    operations: [
      putting(
        resource("plugin", {
          name: "rate-limiting",
          config: { hour: 10, policy: "local" },
        }),
      ),
    ],
  });
  await node.untilServed("2");
  // Each on a connection of its own: half of them come to each worker.
  const answers = await Promise.all(
    Array.from({ length: 30 }, () => node.get()),
  );
  expect(answers.filter((answer) => answer === 200).length).toBe(10);
  expect(answers.filter((answer) => answer === 429).length).toBe(20);
}, 120_000);
