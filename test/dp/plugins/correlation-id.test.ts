import { expect, test } from "vitest";
import { api, routePlugin } from "../../support/api.ts";
import { TestGateway, type Asked } from "../../support/gateway.ts";
import { Upstream } from "../../support/upstream.ts";

async function asked(
  config: object,
  use: (gateway: TestGateway) => Promise<Asked[]>,
): Promise<Asked[]> {
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "correlation-id", config),
  ]);
  return await use(gateway);
}

const upstreamHeader = (answer: Asked, name: string): string =>
  answer.json<{ headers: Record<string, string> }>().headers[name] ?? "";

const UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";

test.each([
  [
    "by default a UUID of the process and a counter",
    {},
    new RegExp(`^${UUID}#1$`),
  ],
  ["uuid", { generator: "uuid" }, new RegExp(`^${UUID}$`)],
  [
    "tracker",
    { generator: "tracker" },
    /^127\.0\.0\.1-\d+-\d+-1-1-\d+\.\d{3}$/,
  ],
])("%s", async (_what, config, pattern) => {
  const [answer] = await asked(config, async (gateway) => [
    await gateway.ask("/api"),
  ]);
  expect(upstreamHeader(answer!, "kong-request-id")).toMatch(pattern);
  expect(answer!.headers).not.toHaveProperty("kong-request-id");
});

test("the counter counts, over revisions too while the plugin stays the same", async () => {
  await using upstream = await Upstream.start();
  const state = [...api(upstream.port), routePlugin(3, "correlation-id")];
  await using gateway = await TestGateway.start(state);
  const ids = [await gateway.ask("/api"), await gateway.ask("/api")];
  await gateway.serve(state);
  ids.push(await gateway.ask("/api"));
  const seen = ids.map((answer) =>
    upstreamHeader(answer, "kong-request-id").split("#"),
  );
  expect(seen.map(([, count]) => count)).toEqual(["1", "2", "3"]);
  expect(new Set(seen.map(([prefix]) => prefix)).size).toBe(1);
});

test("what the client sent is kept, and echoed under its header", async () => {
  const [own, made] = await asked(
    { header_name: "X-Trace", echo_downstream: true, generator: "uuid" },
    async (gateway) => [
      await gateway.ask("/api", { headers: { "x-trace": "mine" } }),
      await gateway.ask("/api"),
    ],
  );
  expect([upstreamHeader(own!, "x-trace"), own!.headers["x-trace"]]).toEqual([
    "mine",
    "mine",
  ]);
  expect(made!.headers["x-trace"]).toBe(upstreamHeader(made!, "x-trace"));
  expect(made!.headers["x-trace"]).toMatch(new RegExp(`^${UUID}$`));
});

test("an answer of the gateway's own is echoed to as well", async () => {
  await using gateway = await TestGateway.start([
    ...api(1),
    routePlugin(3, "correlation-id", { echo_downstream: true }),
    routePlugin(4, "key-auth"),
  ]);
  const answer = await gateway.ask("/api");
  expect(answer.status).toBe(401);
  expect(answer.headers["kong-request-id"]).toMatch(/#1$/);
});
