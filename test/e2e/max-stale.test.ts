import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { adminClient, putting } from "../support/admin-client.ts";
import { eventually } from "../support/eventually.ts";
import {
  startCp,
  startDp,
  type HoldfastProcess,
} from "../support/holdfast-process.ts";
import { logged } from "../support/logged.ts";
import { resource } from "../support/resources.ts";
import { servedBy } from "../support/served-revision.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

interface Config {
  readonly confirmed_at: string | null;
  readonly confirmed_age_seconds: number;
  readonly stale: boolean;
}

async function configOf(dp: HoldfastProcess): Promise<Config> {
  const response = await fetch(dp.url("status", "/status/config"));
  return (await response.json()) as Config;
}

async function readiness(
  dp: HoldfastProcess,
): Promise<{ readonly status: number; readonly body: string }> {
  const response = await fetch(dp.url("status", "/status/ready"));
  return { status: response.status, body: await response.text() };
}

test("what no control plane confirms becomes stale, also over a restart: the node is not ready and goes on serving, until a control plane is back", async () => {
  await using dir = await TempDir.make();
  await using upstream = await Upstream.start();
  const first = await startCp(dir.join("cp"));
  const ports = {
    sync: first.address("sync"),
    admin: first.address("admin"),
  };
  await adminClient(first.url("admin")).config.transact({
    operations: [
      putting(
        resource("service", {
          name: "s",
          url: `http://127.0.0.1:${upstream.port}`,
        }),
      ),
      putting(
        resource("route", {
          name: "r",
          paths: ["/r"],
          service: { name: "s" },
        }),
      ),
    ],
  });
  const flags = ["--max-stale", "15s", "--when-stale", "unready"];
  const before = await startDp(dir.join("dp"), ports.sync, ...flags);
  await eventually(
    async () => (await servedBy(before)) === "1" || undefined,
    "revision 1 to be served",
  );
  expect(await configOf(before)).toMatchObject({
    stale: false,
    confirmed_at: expect.stringMatching(/Z$/) as string,
  });
  expect((await readiness(before)).status).toBe(200);
  await first.kill("SIGKILL");
  const confirmed = (await configOf(before)).confirmed_at;
  await delay(8_000);
  await before.kill("SIGKILL");

  await using dp = await startDp(dir.join("dp"), ports.sync, ...flags);
  // The age is from before the restart.
  const { uptime_seconds: uptime, config } = (await (
    await fetch(dp.url("status", "/status"))
  ).json()) as { uptime_seconds: number; config: Config };
  expect(config.confirmed_age_seconds).toBeGreaterThan(uptime + 7);
  expect(Date.parse(config.confirmed_at ?? "")).toBeLessThanOrEqual(
    Date.parse(confirmed ?? ""),
  );
  const unready = await eventually(
    async () => {
      const found = await readiness(dp);
      return found.status === 503 ? found : undefined;
    },
    "the node to be stale",
    30_000,
  );
  expect(unready.body).toMatch(
    /no control plane has confirmed the configuration for \d+ s, allowed are 15 s \(--max-stale\); traffic is still served/,
  );
  expect((await configOf(dp)).stale).toBe(true);
  expect((await fetch(dp.url("proxy", "/r"))).status).toBe(200);
  expect(logged(dp, "config.stale")).toHaveLength(1);
  const metrics = await (await fetch(dp.url("status", "/metrics"))).text();
  expect(metrics).toContain("holdfast_dp_config_stale 1");
  expect(metrics).toMatch(/holdfast_dp_config_confirmed_age_seconds \d\d/);

  await using back = await startCp(dir.join("cp"), ports);
  expect(back.address("sync")).toBe(ports.sync);
  await eventually(
    async () => (await readiness(dp)).status === 200 || undefined,
    "the node to be ready again",
    40_000,
  );
  expect((await configOf(dp)).stale).toBe(false);
  expect(logged(dp, "config.confirmed_again")).toHaveLength(1);
}, 180_000);
