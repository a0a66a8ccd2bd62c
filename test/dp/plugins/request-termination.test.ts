import { describe, expect, test } from "vitest";
import { api, routePlugin } from "../../support/api.ts";
import {
  TestGateway,
  type AskOptions,
  type Asked,
} from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";
import { Upstream } from "../../support/upstream.ts";

async function terminated(
  config: object,
  path = "/api",
  options: AskOptions = {},
): Promise<Asked> {
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "request-termination", config),
  ]);
  return await gateway.ask(path, options);
}

test.each<
  [what: string, config: object, status: number, type: string, body: unknown]
>([
  [
    "nothing said",
    {},
    503,
    "application/json; charset=utf-8",
    { message: "Service unavailable" },
  ],
  [
    "a status",
    { status_code: 404 },
    404,
    "application/json; charset=utf-8",
    { message: "Not found" },
  ],
  [
    "a message",
    { status_code: 418, message: "tea" },
    418,
    "application/json; charset=utf-8",
    { message: "tea" },
  ],
])("%s", async (_what, config, status, type, body) => {
  const answer = await terminated(config);
  expect([answer.status, answer.headers["content-type"]]).toEqual([
    status,
    type,
  ]);
  expect(answer.json()).toEqual({
    ...(body as object),
    request_id: answer.headers["x-holdfast-request-id"],
  });
});

test("a body of a type, byte for byte", async () => {
  const answer = await terminated({
    status_code: 200,
    body: "<p>é</p>",
    content_type: "text/html",
  });
  expect([answer.status, answer.headers["content-type"], answer.text]).toEqual([
    200,
    "text/html",
    "<p>é</p>",
  ]);
});

test.each([204, 304])("a %i has no body", async (status) => {
  const answer = await terminated({ status_code: status });
  expect([
    answer.status,
    answer.text,
    answer.headers["content-length"],
  ]).toEqual([status, "", undefined]);
});

describe("a trigger", () => {
  test.each<[what: string, path: string, options: AskOptions, status: number]>([
    ["in a header", "/api", { headers: { "X-Stop": "" } }, 503],
    ["in the query", "/api?X-Stop", {}, 503],
    ["that is not there: the request goes on", "/api?x-stop=1", {}, 200],
  ])("%s", async (_what, path, options, status) => {
    expect(
      (await terminated({ trigger: "X-Stop" }, path, options)).status,
    ).toBe(status);
  });
});

test("an echo repeats the request", async () => {
  const answer = await terminated(
    { status_code: 200, echo: true, message: "seen" },
    "/api/x?a=1&b",
    {
      method: "POST",
      headers: { "x-a": "1", host: "Shop.example" },
      body: "hello",
    },
  );
  expect(answer.json()).toMatchObject({
    message: "seen",
    request: {
      method: "POST",
      scheme: "http",
      host: "shop.example",
      path: "/api/x",
      query: { a: "1", b: "" },
      headers: { "x-a": "1" },
      body: "hello",
    },
    matched_route: { id: id(2), name: "route" },
    matched_service: { id: id(1), name: "service" },
  });
});

test("it works on a route without a service", async () => {
  await using gateway = await TestGateway.start([
    resource("route", { id: id(2), paths: ["/api"] }),
    routePlugin(3, "request-termination", {
      status_code: 200,
      message: "still here",
    }),
  ]);
  expect((await gateway.ask("/api")).status).toBe(200);
});
