import { Registry } from "prom-client";
import { expect, test } from "vitest";
import { labelBudget } from "../../../src/dp/plugins/prometheus/kong-metrics.ts";
import { api, routePlugin } from "../../support/api.ts";
import { eventually } from "../../support/eventually.ts";
import { TestGateway } from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";
import { Upstream } from "../../support/upstream.ts";

/** The lines of Kong's metrics after these requests. */
async function pageAfter(
  config: Record<string, boolean>,
  paths: readonly string[],
): Promise<string> {
  const metrics = new Registry();
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start(
    [
      ...api(upstream.port),
      routePlugin(4, "key-auth", {}),
      resource("consumer", { id: id(10), username: "ann" }),
      resource("keyauthCredential", {
        id: id(11),
        key: "secret",
        consumer: { id: id(10) },
      }),
      resource("plugin", { id: id(3), name: "prometheus", config }),
    ],
    { metrics },
  );
  for (const path of paths) await gateway.ask(path);
  return await eventually(async () => {
    const page = await metrics.metrics();
    const counted = [
      ...page.matchAll(/^kong_http_requests_total\{.*\} (\d+)$/gm),
    ].reduce((sum, [, count]) => sum + Number(count), 0);
    return counted === paths.length ? page : undefined;
  }, "all requests to be counted");
}

const value = (page: string, name: string, labels: object): string =>
  page
    .split("\n")
    .filter(
      (line) =>
        line.startsWith(`${name}{`) &&
        Object.entries(labels).every(([label, of]) =>
          line.includes(`${label}="${String(of)}"`),
        ),
    )
    .map((line) => line.slice(line.lastIndexOf(" ") + 1))
    .join();

test("requests are counted with Kong's names by service, route, status, source and consumer", async () => {
  const page = await pageAfter(
    {
      status_code_metrics: true,
      per_consumer: true,
      latency_metrics: true,
      bandwidth_metrics: true,
    },
    ["/api?apikey=secret", "/api?apikey=secret", "/api", "/none"],
  );
  const of = { service: "service", route: "route", workspace: "default" };
  const requests = "kong_http_requests_total";
  expect(
    value(page, requests, {
      ...of,
      code: 200,
      source: "service",
      consumer: "ann",
    }),
  ).toBe("2");
  expect(
    value(page, requests, { ...of, code: 401, source: "kong", consumer: "" }),
  ).toBe("1");
  expect(value(page, requests, { service: "", route: "", code: 404 })).toBe(
    "1",
  );
  for (const name of ["kong_request_latency_ms", "kong_kong_latency_ms"])
    expect(value(page, `${name}_count`, of)).toBe("3");
  expect(value(page, "kong_upstream_latency_ms_count", of)).toBe("2");
  for (const direction of ["ingress", "egress"])
    expect(
      Number(
        value(page, "kong_bandwidth_bytes", {
          ...of,
          direction,
          consumer: "ann",
        }),
      ),
    ).toBeGreaterThan(100);
});

test("only what is asked for is counted, and consumers only by wish", async () => {
  const page = await pageAfter({ status_code_metrics: true }, [
    "/api?apikey=secret",
  ]);
  expect(value(page, "kong_http_requests_total", { consumer: "" })).toBe("1");
  expect(page).not.toMatch(
    /^kong_(bandwidth_bytes|request_latency_ms_count)\{/m,
  );
});

test("the health of targets is told while a plugin wants it", async () => {
  const metrics = new Registry();
  await using upstream = await Upstream.start();
  const state = (health: boolean) => [
    ...api(80, { service: { host: "pool" } }),
    resource("upstream", { id: id(20), name: "pool" }),
    resource("target", {
      id: id(21),
      upstream: { id: id(20) },
      target: `127.0.0.1:${upstream.port}`,
    }),
    routePlugin(3, "prometheus", { upstream_health_metrics: health }),
  ];
  await using gateway = await TestGateway.start(state(true), { metrics });
  expect((await gateway.ask("/api")).status).toBe(200);
  const told = async (): Promise<string> =>
    value(await metrics.metrics(), "kong_upstream_target_health", {
      upstream: "pool",
      target: `127.0.0.1:${upstream.port}`,
      state: "healthchecks_off",
      subsystem: "http",
    });
  await eventually(async () => (await told()) === "1", "the health");
  await gateway.serve(state(false));
  await eventually(async () => (await told()) === "", "no more of it");
});

test("beyond a number of label sets the rest is counted together", () => {
  const bounded = labelBudget(2);
  const labels = (route: string) => ({
    service: "s",
    route,
    consumer: route === "c" ? "" : "ann",
  });
  expect(bounded(labels("a"))).toEqual(labels("a"));
  expect(bounded(labels("b"))).toEqual(labels("b"));
  expect(bounded(labels("c"))).toEqual({
    service: "(other)",
    route: "(other)",
    consumer: "",
  });
  expect(bounded(labels("d"))).toMatchObject({ consumer: "(other)" });
  expect(bounded(labels("a"))).toEqual(labels("a"));
});
