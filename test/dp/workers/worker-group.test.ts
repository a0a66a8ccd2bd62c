import cluster from "node:cluster";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { get } from "node:https";
import { Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { State } from "../../../src/dp/replica/last-good.ts";
import { WORKER_FLAGS } from "../../../src/dp/workers/fork.ts";
import { WorkerGroup } from "../../../src/dp/workers/worker-group.ts";
import { cursorOf } from "../../../src/model/cursor.ts";
import type { Snapshot } from "../../../src/model/snapshot.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { ListenError } from "../../../src/runtime/host-port.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { eventually } from "../../support/eventually.ts";
import { snapshotOf, withEntries } from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";
import { Upstream } from "../../support/upstream.ts";

let revision = 0n;
const stateWith = (snapshot: Snapshot): State => ({
  cursor: cursorOf("epoch", ++revision, snapshot.root),
  snapshot,
});
/** A state whose one route answers with a status of its own. */
const answering = (status: number): State =>
  stateWith(
    snapshotOf([
      resource("route", { id: id(1), name: "r", paths: ["/"] }),
      resource("plugin", {
        id: id(2),
        name: "request-termination",
        config: { status_code: status },
      }),
    ]),
  );

function startGroup(
  options: Partial<Parameters<typeof WorkerGroup.start>[0]> = {},
): Promise<WorkerGroup> {
  return WorkerGroup.start({
    count: 2,
    logLevel: "error",
    gateway: { onUnsupported: "refuse", graceMs: 500 },
    clock: systemClock,
    logger: silentLogger,
    metrics: new Registry(),
    random: Math.random,
    ...options,
  });
}

/** Has all workers serve a state. */
async function serve(group: WorkerGroup, state: State): Promise<void> {
  const result = await group.prepare(state);
  if (!result.ok) throw new Error(JSON.stringify(result));
  await group.commit(result.prepared);
}

/** The statuses of so many connections, one after the other: they go to the workers in turn. */
async function statuses(group: WorkerGroup, count: number): Promise<number[]> {
  const seen: number[] = [];
  for (let i = 0; i < count; i++) {
    const response = await fetch(`http://${group.address}/`, {
      headers: { connection: "close" },
    });
    await response.arrayBuffer();
    seen.push(response.status);
  }
  return seen;
}

const pids = (group: WorkerGroup): number[] =>
  group.workers.map(({ pid }) => pid ?? 0);

describe("a group of workers", () => {
  let group: WorkerGroup;
  beforeAll(async () => {
    group = await startGroup();
  });
  afterAll(async () => {
    await group.close();
  });

  test("listens on one port with all workers before there is a configuration, and answers that there is none", async () => {
    const listen = { host: "127.0.0.1", port: 0 };
    await group.open(listen, listen);
    expect(group.address).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    expect(await statuses(group, 4)).toEqual([503, 503, 503, 503]);
    expect(group.tlsAddress).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    expect(group.tlsAddress).not.toBe(group.address);
    for (let i = 0; i < 2; i++) {
      const asked = get(`https://${group.tlsAddress}/`, {
        rejectUnauthorized: false,
        agent: false,
      });
      const [response] = (await once(asked, "response")) as [IncomingMessage];
      response.resume();
      expect(response.statusCode).toBe(503);
    }
    expect(group.features.map(({ name }) => name)).toContain("kind/route");
    expect(group.serving).toBeUndefined();
  });

  test("serves a state in all workers when a commit has resolved, and counts by revision", async () => {
    const state = answering(418);
    const result = await group.prepare(state);
    // Prepared is not served.
    expect(await statuses(group, 2)).toEqual([503, 503]);
    if (!result.ok) throw new Error(JSON.stringify(result));
    await group.commit(result.prepared);
    expect(await statuses(group, 4)).toEqual([418, 418, 418, 418]);
    expect(group.serving).toEqual(state.cursor);
    expect(result.prepared.counts).toMatchObject({ routes: 1 });
    expect(new Set(pids(group)).size).toBe(2);
    let requests = 0n;
    await eventually(() => {
      for (const each of group.takeCounters())
        if (each.revision === state.cursor.revision) requests += each.requests;
      return requests === 4n || undefined;
    }, "four requests to be counted");
  });

  test("a state that cannot be served changes nothing in any worker, and the next one can be", async () => {
    await serve(group, answering(418));
    const result = await group.prepare(
      stateWith(
        withEntries([{ key: "route/x", value: Buffer.from("garbage") }]),
      ),
    );
    expect(result).toMatchObject({
      ok: false,
      class: "INVALID",
      violations: [{ key: "route/x" }],
    });
    expect(await statuses(group, 4)).toEqual([418, 418, 418, 418]);
    await serve(group, answering(410));
    expect(await statuses(group, 2)).toEqual([410, 410]);
  });

  test("a state that is not wanted any more is dropped by all; what was prepared of it cannot be committed", async () => {
    const dropped = answering(451);
    const result = await group.prepare(dropped);
    group.drop(dropped.cursor);
    if (!result.ok) throw new Error(JSON.stringify(result));
    await expect(group.commit(result.prepared)).rejects.toThrow(TypeError);
    const next = group.prepare(answering(452));
    const last = answering(453);
    const ended = expect(next).rejects.toThrow(/not wanted/);
    await serve(group, last);
    await ended;
    expect(await statuses(group, 2)).toEqual([453, 453]);
  });

  test("a worker that dies while a state is prepared is replaced, and the state is served by both", async () => {
    const preparing = group.prepare(answering(404));
    process.kill(pids(group)[0] ?? 0, "SIGKILL");
    const result = await preparing;
    if (!result.ok) throw new Error(JSON.stringify(result));
    await group.commit(result.prepared);
    await eventually(
      () =>
        group.workers.every(({ state }) => state === "serving") || undefined,
      "both to serve",
      20_000,
    );
    expect(await statuses(group, 4)).toEqual([404, 404, 404, 404]);
    expect(group.workers).toMatchObject([{ restarts: 1 }, { restarts: 0 }]);
  });

  test("its processes run with the flags that keep the space for new objects as it is under load", () => {
    const processes = Object.values(cluster.workers ?? {}).map(
      (each) => each?.process,
    );
    for (const pid of pids(group)) {
      const started = processes.find((each) => each?.pid === pid);
      const [, ...args] = started?.spawnargs ?? [];
      expect(args.slice(0, WORKER_FLAGS.length)).toEqual(WORKER_FLAGS);
      expect(args[0]).toMatch(/^--min-semi-space-size=\d+$/);
    }
  });

  test("one page has the metrics of all workers, those included that are gone", async () => {
    const count = async (): Promise<number> =>
      [
        ...(await group.metrics.metrics()).matchAll(
          /^holdfast_requests_total\{.*\} (\d+)$/gm,
        ),
      ].reduce((sum, [, each]) => sum + Number(each), 0);
    const before = await count();
    expect(await group.metrics.metrics()).toMatch(
      /^holdfast_workers\{state="serving"\} 2$/m,
    );
    await statuses(group, 6);
    expect(await count()).toBe(before + 6);
    process.kill(pids(group)[1] ?? 0, "SIGKILL");
    await eventually(
      () => group.workers[1]?.state !== "serving" || undefined,
      "it to be gone",
    );
    expect(await count()).toBe(before + 6);
  });
});

test("workers are asked by turns: of two each gets half of the connections", async () => {
  await using group = await startGroup();
  await group.open({ host: "127.0.0.1", port: 0 });
  await using upstream = await Upstream.start();
  await serve(
    group,
    stateWith(
      snapshotOf([
        resource("service", {
          id: id(1),
          name: "s",
          host: "127.0.0.1",
          port: upstream.port,
        }),
        resource("route", {
          id: id(2),
          paths: ["/"],
          service: { id: id(1) },
        }),
      ]),
    ),
  );
  expect(await statuses(group, 8)).toEqual(Array(8).fill(200));
  // Each worker keeps connections of its own to the upstream.
  expect(upstream.connections).toBe(2);
});

test("one worker probes for all, another takes over when it dies, and what was found out is known to all, those included that come later", async () => {
  let healthy = true;
  let probing = 0;
  let most = 0;
  let probes = 0;
  await using upstream = await Upstream.start((request, response) => {
    if (request.url !== "/probe") {
      response.end("ok");
      return;
    }
    probes++;
    most = Math.max(most, ++probing);
    // Longer than the pause between two: a second worker that probes too would be seen.
    setTimeout(() => {
      probing--;
      response.statusCode = healthy ? 200 : 500;
      response.end();
    }, 150);
  });
  await using group = await startGroup();
  await group.open({ host: "127.0.0.1", port: 0 });
  await serve(
    group,
    stateWith(
      snapshotOf([
        resource("upstream", {
          id: id(1),
          name: "bank",
          healthchecks: {
            active: {
              httpPath: "/probe",
              healthy: { interval: 0.05, successes: 1 },
              unhealthy: { interval: 0.05, httpFailures: 1 },
            },
          },
        }),
        resource("target", {
          id: id(2),
          upstream: { id: id(1) },
          target: `127.0.0.1:${upstream.port}`,
        }),
        resource("service", { id: id(3), name: "s", host: "bank" }),
        resource("route", {
          id: id(4),
          paths: ["/"],
          service: { id: id(3) },
        }),
      ]),
    ),
  );
  // Told with the first state that is served, not with the next sign of life.
  expect(group.upstreams()).toMatchObject([
    {
      name: "bank",
      health: "HEALTHY",
      targets: [{ addresses: [{ address: `127.0.0.1:${upstream.port}` }] }],
    },
  ]);
  expect(await statuses(group, 4)).toEqual([200, 200, 200, 200]);
  await eventually(() => probes >= 5 || undefined, "some probes");
  expect(most).toBe(1);

  healthy = false;
  const untilAll = (status: number) =>
    eventually(
      async () =>
        (await statuses(group, 4)).every((each) => each === status) ||
        undefined,
      `all workers to answer ${status}`,
    );
  /** What the status page says, which needs nobody's request. */
  const health = () => group.upstreams().map((each) => each.health);
  await untilAll(503);
  await eventually(
    () => health()[0] === "UNHEALTHY" || undefined,
    "that to be told",
  );
  for (const place of [0, 1]) {
    const before = pids(group);
    process.kill(before[place] ?? 0, "SIGKILL");
    await eventually(
      () =>
        (pids(group)[place] !== before[place] &&
          group.workers.every(({ state }) => state === "serving")) ||
        undefined,
      "it to be replaced",
      20_000,
    );
    expect(health()).toEqual(["UNHEALTHY"]);
    expect(await statuses(group, 4)).toEqual([503, 503, 503, 503]);
  }
  // Neither of those that began is left.
  healthy = true;
  await untilAll(200);
}, 120_000);

test("an address that is taken, and settings that workers cannot use, are told at once", async () => {
  await using upstream = await Upstream.start();
  await using group = await startGroup({ count: 1 });
  const listen = { host: "127.0.0.1", port: upstream.port };
  const refused = await group.open(listen).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(ListenError);
  expect(refused).toMatchObject({ listen });
  await expect(
    startGroup({
      count: 1,
      gateway: {
        onUnsupported: "refuse",
        headers: { trustedIps: ["nonsense"] },
      },
    }),
  ).rejects.toThrow(/do not start: .*nonsense/);
});
