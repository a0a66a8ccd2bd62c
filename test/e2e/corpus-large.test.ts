import { expect, test } from "vitest";
import { stringify } from "yaml";
import { adminClient } from "../support/admin-client.ts";
import { eventually } from "../support/eventually.ts";
import { startCp, startDp } from "../support/holdfast-process.ts";
import { servedBy } from "../support/served-revision.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

test(
  "a file of 50,000 lines with 511 routes and 738 plugins is applied and served",
  { timeout: 120_000 },
  async () => {
    await using dir = await TempDir.make();
    await using upstream = await Upstream.start();
    const content = largeFile(upstream.port);
    expect(content.split("\n").length).toBeGreaterThan(50_000);
    await using cp = await startCp(dir.join("cp"));
    await using dp = await startDp(
      dir.join("dp"),
      cp.address("sync"),
      "--on-unsupported",
      "fail-route",
    );
    const { changes, revision } = await adminClient(
      cp.url("admin"),
    ).config.apply({ files: [{ name: "large.yml", content }] });
    const created = (kind: string): number =>
      changes.filter((c) => c.kind === kind && c.action === "create").length;
    expect([created("route"), created("plugin")]).toEqual([
      ROUTES,
      PLUGIN_COUNT,
    ]);
    await eventually(
      async () => (await servedBy(dp)) === String(revision) || undefined,
      "the large file to be served",
      30_000,
    );
    const statuses = await Promise.all(
      ["/route-0/x", "/route-1/x", `/route-${ROUTES - 1}/x`, "/none"].map(
        async (path) => (await fetch(dp.url("proxy", path))).status,
      ),
    );
    expect(statuses).toEqual([200, 503, 200, 404]);
  },
);

const ROUTES = 511;
const PLUGIN_COUNT = 738;

/** As large as the largest file that was found in the wild. Services of odd numbers have a plugin that is nowhere. */
function largeFile(port: number): string {
  const services = Array.from({ length: PLUGIN_COUNT - ROUTES }, (_, i) => ({
    name: `service-${i}`,
    url: `http://127.0.0.1:${port}/base-${i}`,
    routes: [] as object[],
    plugins: [
      {
        name: "home-grown",
        enabled: i % 2 === 1,
        config: Object.fromEntries(
          Array.from({ length: 50 }, (__, j) => [`setting_${j}`, `value ${j}`]),
        ),
      },
    ],
  }));
  for (let i = 0; i < ROUTES; i++)
    services[i % services.length]?.routes.push({
      name: `route-${i}`,
      paths: [`/route-${i}/`],
      methods: ["GET", "POST"],
      tags: ["generated", `number-${i}`],
      plugins: [
        {
          name: "cors",
          config: {
            origins: Array.from(
              { length: 60 },
              (_, j) => `https://app-${i}-${j}.example.com`,
            ),
          },
        },
      ],
    });
  return stringify({ _format_version: "3.0", services });
}
