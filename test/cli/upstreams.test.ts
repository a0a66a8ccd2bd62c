import { expect, test } from "vitest";
import { startDataPlane } from "../../src/dp/data-plane.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { parseHostPort } from "../../src/runtime/host-port.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { CliControlPlane } from "../support/cli-control-plane.ts";
import { DnsServer } from "../support/dns-server.ts";
import { eventually } from "../support/eventually.ts";
import { ask } from "../support/gateway.ts";
import { Upstream } from "../support/upstream.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 };

test("what a data plane finds out about targets is seen at its status page, in its metrics and on the control plane", async () => {
  await using broken = await Upstream.start((_request, response) => {
    response.statusCode = 500;
    response.end();
  });
  await using fine = await Upstream.start();
  await using dns = await DnsServer.start(() => ({ how: "NXDOMAIN" }));
  await using plane = await CliControlPlane.start();
  await plane.apply(`_format_version: "3.0"
services:
  - { name: s, host: pool.internal, routes: [{ name: r, paths: [/] }] }
upstreams:
  - name: pool.internal
    healthchecks: { passive: { unhealthy: { http_failures: 1 } } }
    targets:
      - { target: "127.0.0.1:${broken.port}" }
      - { target: "127.0.0.1:${fine.port}" }
      - { target: "gone.test:80" }
`);
  const sync = parseHostPort(plane.sync);
  if (!sync.ok) throw new Error(sync.reason);
  await using node = await startDataPlane(
    {
      controlPlanes: [sync.hostPort],
      proxyListen: LOOPBACK,
      statusListen: LOOPBACK,
      dataDir: plane.dir.join("dp"),
      nodeId: "edge-1",
      labels: {},
      workspace: "default",
      gateway: { onUnsupported: "refuse", dnsServers: [dns.address] },
      insecureSync: true,
      build: "test",
    },
    { clock: systemClock, logger: silentLogger },
  );
  const port = Number(node.addresses.proxy.split(":").at(-1));
  const status = async (path: string): Promise<string> =>
    (await fetch(`http://${node.addresses.status}${path}`)).text();
  await eventually(async () => {
    await ask(port, "/");
    const page = await status("/status/upstreams");
    const found = ["UNHEALTHY", "DNS_ERROR"].every((word) =>
      page.includes(`"${word}"`),
    );
    return found || undefined;
  }, "both troubles to be found out");
  expect(JSON.parse(await status("/status/upstreams"))).toMatchObject({
    upstreams: [{ name: "pool.internal", health: "HEALTHY" }],
  });
  const series = (await status("/metrics"))
    .split("\n")
    .filter((line) => line.startsWith("holdfast_upstream_target_health{"));
  expect(series.map((line) => /state="(\w+)"/.exec(line)?.[1])).toEqual([
    "unhealthy",
    "dns_error",
    "healthy",
  ]);
  const told = await eventually(
    async () => {
      const done = await plane.run(["upstreams", "pool.internal"]);
      return done.code === 0 ? done.stdout : undefined;
    },
    "the control plane to hear of it",
    20_000,
  );
  const rows = told
    .trim()
    .split("\n")
    .map((line) => line.split(/\s{2,}/));
  expect(rows).toContainEqual([
    "pool.internal",
    `127.0.0.1:${broken.port}`,
    `127.0.0.1:${broken.port}`,
    ...["0", "1", "0", "0", "edge-1"],
  ]);
  expect(await plane.json("upstreams")).toMatchObject({
    upstreams: [
      {
        upstream: "pool.internal",
        addresses: expect.arrayContaining([
          expect.objectContaining({
            address: `127.0.0.1:${fine.port}`,
            healthy: 1,
          }),
          expect.objectContaining({
            target: "gone.test:80",
            dns_error: 1,
            nodes: ["edge-1"],
          }),
        ]) as unknown,
      },
    ],
  });
  const other = await plane.run(["upstreams", "other"]);
  expect([other.code, other.stderr]).toEqual([
    1,
    expect.stringContaining(
      'no connected data plane has told of an upstream "other"',
    ),
  ]);
}, 60_000);
