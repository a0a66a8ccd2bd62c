import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import {
  holdfast,
  startCp,
  startDp,
  type HoldfastProcess,
} from "../support/holdfast-process.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

async function put(cp: HoldfastProcess, resource: object): Promise<string> {
  const response = await fetch(
    cp.url("admin", "/holdfast.admin.v1.ConfigService/Put"),
    {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ resource }),
    },
  );
  const answer = (await response.json()) as { revision: string };
  expect(answer).toHaveProperty("revision");
  return answer.revision;
}

async function metric(
  process: HoldfastProcess,
  direction: string,
  type: string,
): Promise<number> {
  const page = await (await fetch(process.url("status", "/metrics"))).text();
  const line = page
    .split("\n")
    .find((each) =>
      each.startsWith(
        `holdfast_dp_sync_messages_total{direction="${direction}",type="${type}"}`,
      ),
    );
  return Number(line?.split(" ").at(-1) ?? 0);
}

test("the outage: nothing stops being served, across restarts of the data plane, and what comes after is the newest in one step", async () => {
  await using dir = await TempDir.make();
  await using upstream = await Upstream.start();
  const first = await startCp(dir.join("cp"));
  const sync = first.address("sync");
  const admin = first.address("admin");
  await put(first, {
    service: { name: "s", url: `http://127.0.0.1:${upstream.port}` },
  });
  for (let i = 0; i < 30; i++)
    await put(first, {
      route: {
        name: `other-${i}`,
        paths: [`/other-${i}`],
        service: { name: "s" },
      },
    });
  const revision = await put(first, {
    route: { name: "r", paths: ["/v0"], service: { name: "s" } },
  });
  const dp = await startDp(dir.join("dp"), sync);
  expect(
    (await holdfast("wait", revision, "--admin", `http://${admin}`)).code,
  ).toBe(0);
  expect((await fetch(dp.url("proxy", "/v0"))).status).toBe(200);

  // The control plane is gone.
  expect(await first.kill("SIGKILL")).toEqual({
    code: null,
    signal: "SIGKILL",
  });
  expect((await fetch(dp.url("proxy", "/v0"))).status).toBe(200);
  expect((await fetch(dp.url("status", "/status/ready"))).status).toBe(200);

  // So is the data plane; and it comes back before it has seen a control plane.
  expect(await dp.kill("SIGKILL")).toEqual({ code: null, signal: "SIGKILL" });
  const again = await startDp(dir.join("dp"), sync);
  expect((await fetch(again.url("proxy", "/v0"))).status).toBe(200);
  expect(await metric(again, "in", "welcome")).toBe(0);
  expect(
    await (await fetch(again.url("status", "/status/config"))).json(),
  ).toMatchObject({ cursor: { revision }, source: "replica" });
  await again.kill("SIGKILL");

  // 100 changes while the data plane is cut off.
  await using second = await startCp(dir.join("cp"), { sync, admin });
  let newest = "";
  for (let i = 1; i <= 100; i++)
    newest = await put(second, {
      route: { name: "r", paths: [`/v${i}`], service: { name: "s" } },
    });
  expect(newest).toBe(String(Number(revision) + 100));
  await using last = await startDp(dir.join("dp"), sync);
  await eventually(
    async () =>
      (await fetch(last.url("proxy", "/v100"))).status === 200 || undefined,
    "the newest to be served",
  );
  expect((await fetch(last.url("proxy", "/v0"))).status).toBe(404);
  expect(
    (await holdfast("wait", newest, "--admin", `http://${admin}`)).code,
  ).toBe(0);
  expect({
    requests: await metric(last, "out", "snapshot_request"),
    manifests: await metric(last, "in", "manifest"),
    buckets: await metric(last, "in", "bucket_chunk"),
    deltas: await metric(last, "in", "delta"),
  }).toEqual({ requests: 1, manifests: 1, buckets: 1, deltas: 0 });
});

test("a data plane that runs on through the outage asks for the full snapshot when the control plane is back", async () => {
  await using dir = await TempDir.make();
  await using upstream = await Upstream.start();
  const first = await startCp(dir.join("cp"));
  const ports = { sync: first.address("sync"), admin: first.address("admin") };
  await put(first, {
    service: { name: "s", url: `http://127.0.0.1:${upstream.port}` },
  });
  await put(first, {
    route: { name: "r", paths: ["/old"], service: { name: "s" } },
  });
  await using dp = await startDp(dir.join("dp"), ports.sync);
  await eventually(
    async () =>
      (await fetch(dp.url("proxy", "/old"))).status === 200 || undefined,
    "the route to be served",
  );
  const deltas = await metric(dp, "in", "delta");
  await first.kill("SIGKILL");
  await using second = await startCp(dir.join("cp"), ports);
  await put(second, {
    route: { name: "r", paths: ["/new"], service: { name: "s" } },
  });
  await eventually(
    async () =>
      (await fetch(dp.url("proxy", "/new"))).status === 200 || undefined,
    "the new route to be served",
    40_000,
  );
  expect(await metric(dp, "out", "snapshot_request")).toBe(2);
  expect((await metric(dp, "in", "delta")) - deltas).toBeLessThanOrEqual(1);
});

test("an empty control plane makes a data plane ready with an empty configuration; without any it is not ready and answers 503", async () => {
  await using dir = await TempDir.make();
  await using lonely = await startDp(dir.join("lonely"), "127.0.0.1:1");
  const refused = await fetch(lonely.url("proxy", "/"));
  expect(refused.status).toBe(503);
  expect(await refused.json()).toHaveProperty("message");
  const notReady = await fetch(lonely.url("status", "/status/ready"));
  expect(notReady.status).toBe(503);
  expect((await fetch(lonely.url("status", "/status/live"))).status).toBe(200);

  await using cp = await startCp(dir.join("cp"));
  await using dp = await startDp(dir.join("dp"), cp.address("sync"));
  await eventually(
    async () =>
      (await fetch(dp.url("status", "/status/ready"))).status === 200 ||
      undefined,
    "the data plane to be ready",
  );
  const response = await fetch(dp.url("proxy", "/"));
  expect(response.status).toBe(404);
  expect(await response.json()).toMatchObject({
    message: "no Route matched with those values",
  });
});

test("SIGTERM ends both roles with 0", async () => {
  await using dir = await TempDir.make();
  const cp = await startCp(dir.join("cp"));
  const dp = await startDp(dir.join("dp"), cp.address("sync"));
  await eventually(
    async () =>
      (await fetch(dp.url("status", "/status/ready"))).status === 200 ||
      undefined,
    "the data plane to be ready",
  );
  expect(await cp.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  expect((await fetch(dp.url("status", "/status/ready"))).status).toBe(200);
  expect(await dp.kill("SIGTERM")).toEqual({ code: 0, signal: null });
});
