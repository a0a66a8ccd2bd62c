import { describe, expect, test } from "vitest";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import type { LogEntry } from "../../../src/dp/gateway/log-entry.ts";
import { PluginRun } from "../../../src/dp/gateway/plugin-run.ts";
import type { PluginInstance } from "../../../src/dp/gateway/plugin-chains.ts";
import type {
  Exchange,
  PluginHandlers,
} from "../../../src/dp/plugins/plugin.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { chainsOf } from "../../support/chains.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { api, routePlugin } from "../../support/api.ts";
import { TestGateway } from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";
import { Upstream } from "../../support/upstream.ts";

const people: readonly Resource[] = [
  resource("consumer", { id: id(20), username: "ann" }),
  resource("keyauthCredential", {
    id: id(21),
    consumer: { id: id(20) },
    key: "ann",
  }),
  resource("consumer", { id: id(22), username: "bob" }),
  resource("keyauthCredential", {
    id: id(23),
    consumer: { id: id(22) },
    key: "bob",
  }),
];
const as = (key: string) => ({ headers: { apikey: key } });

test("plugins for a consumer take part once it is known", async () => {
  await using upstream = await Upstream.start();
  const stop = (number: number, message: string, scope: object): Resource =>
    resource("plugin", {
      id: id(number),
      name: "request-termination",
      config: { message },
      ...scope,
    });
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    ...people,
    routePlugin(3, "key-auth"),
    stop(4, "ann here", { route: { id: id(2) }, consumer: { id: id(20) } }),
    stop(5, "ann anywhere", { consumer: { id: id(20) } }),
  ]);
  expect((await gateway.ask("/api", as("ann"))).json()["message"]).toBe(
    "ann here",
  );
  expect((await gateway.ask("/api", as("bob"))).status).toBe(200);
});

describe("where a plugin that this data plane lacks would run, requests are answered 503", () => {
  const lacking = (scope: object): Resource =>
    resource("plugin", {
      id: id(9),
      name: "hmac-auth",
      config: { minute: 1 },
      ...scope,
    });

  test.each<
    [what: string, scope: object, ann: number, bob: number, other: number]
  >([
    ["everywhere", {}, 503, 503, 503],
    ["on its route", { route: { id: id(2) } }, 503, 503, 200],
    ["on its service", { service: { id: id(1) } }, 503, 503, 503],
    ["for its consumer", { consumer: { id: id(20) } }, 503, 200, 200],
    [
      "for its consumer on its route",
      { consumer: { id: id(20) }, route: { id: id(2) } },
      503,
      200,
      200,
    ],
    ["nowhere when it is disabled", { enabled: false }, 200, 200, 200],
  ])("%s", async (_what, scope, ann, bob, other) => {
    let asked = 0;
    await using upstream = await Upstream.start((_request, response) => {
      asked++;
      response.end();
    });
    await using gateway = await TestGateway.start([], {
      onUnsupported: "fail-route",
    });
    const prepared = await gateway.serve([
      ...api(upstream.port),
      resource("route", {
        id: id(6),
        paths: ["/other"],
        service: { id: id(1) },
      }),
      ...people,
      routePlugin(3, "key-auth"),
      lacking(scope),
    ]);
    const answers = [
      await gateway.ask("/api", as("ann")),
      await gateway.ask("/api", as("bob")),
      await gateway.ask("/other"),
    ];
    expect(answers.map(({ status }) => status)).toEqual([ann, bob, other]);
    for (const answer of answers.filter(({ status }) => status === 503))
      expect(answer.json()).toEqual({
        message:
          'the plugin "hmac-auth" is configured here, but this data plane does not have it',
        plugin: "hmac-auth",
        request_id: answer.headers["x-holdfast-request-id"],
      });
    expect(asked).toBe(answers.filter(({ status }) => status === 200).length);
    expect(prepared.degraded.map(({ key }) => key)).toEqual(
      "enabled" in scope ? [] : [`plugin/${id(9)}`],
    );
  });
});

test("refusing is the other way, and changes nothing", async () => {
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start(api(upstream.port));
  await expect(
    gateway.serve([
      ...api(upstream.port),
      resource("plugin", { id: id(9), name: "hmac-auth" }),
    ]),
  ).rejects.toThrow(/hmac-auth/);
  expect(gateway.gateway.serving?.revision).toBe(1n);
  expect((await gateway.ask("/api")).status).toBe(200);
});

test("a plugin that throws ends its request with 500, and the others' later phases still run", async () => {
  const ran: string[] = [];
  const instance = (
    name: string,
    priority: number,
    handlers: PluginHandlers,
  ): PluginInstance => ({ key: name, name, priority, scope: {}, handlers });
  const chains = chainsOf([
    instance("breaks", 3, {
      access: () => {
        throw new Error("bug");
      },
      headerFilter: () => {
        throw new Error("bug");
      },
    }),
    instance("late", 2, {
      access: () => {
        ran.push("access");
        return undefined;
      },
      headerFilter: () => ran.push("headerFilter"),
      log: () => ran.push("log"),
    }),
  ]);
  const exchange = {
    id: "r",
    route: { id: "r", name: "" },
    service: undefined,
    consumer: undefined,
  } as Exchange;
  const run = new PluginRun(exchange, {
    clock: systemClock,
    logger: silentLogger,
  });
  expect(await run.access(chains)).toMatchObject({ status: 500 });
  run.filter({
    status: 500,
    fromUpstream: false,
    headers: {
      names: () => [],
      get: () => [],
      set: () => undefined,
      append: () => undefined,
      delete: () => undefined,
    },
  });
  run.end({} as LogEntry);
  expect(ran).toEqual(["headerFilter", "log"]);
});
