import { describe, expect, test } from "vitest";
import type { HeaderOptions } from "../../../../src/dp/gateway/headers/header-settings.ts";
import { api } from "../../../support/api.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { id } from "../../../support/resources.ts";
import { Upstream } from "../../../support/upstream.ts";

interface Echo {
  readonly headers: Readonly<Record<string, string>>;
}

const TOLD = {
  "x-forwarded-for": "192.0.2.7, 10.0.0.9",
  "x-forwarded-proto": "https",
  "x-forwarded-host": "shop.example:8443",
  "x-forwarded-port": "8443",
  "x-forwarded-path": "/outer/api/x",
  "x-forwarded-prefix": "/outer",
  "x-real-ip": "192.0.2.7",
  "x-holdfast-request-id": "outer-1",
};

/** What the upstream and the client are told of a request with these headers. */
async function exchange(
  headers: HeaderOptions,
  sent: Readonly<Record<string, string>>,
  route: object = {},
) {
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start(api(upstream.port, { route }), {
    headers,
  });
  const answer = await gateway.ask("/api/x?y", { headers: sent });
  return {
    status: answer.status,
    client: answer.headers,
    upstream: answer.status === 200 ? answer.json<Echo>().headers : {},
    port: String(gateway.port),
  };
}

describe("a proxy in front", () => {
  test("is not believed when nobody is trusted, but its hop is added", async () => {
    const { upstream, port } = await exchange({}, TOLD);
    expect(upstream).toMatchObject({
      "x-forwarded-for": "192.0.2.7, 10.0.0.9, 127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-port": port,
      "x-forwarded-path": "/api/x",
      "x-forwarded-prefix": "/api",
      "x-real-ip": "127.0.0.1",
    });
    expect(upstream["x-holdfast-request-id"]).not.toBe("outer-1");
  });

  test("is not believed when others are trusted", async () => {
    const { upstream } = await exchange({ trustedIps: ["10.0.0.0/8"] }, TOLD);
    expect(upstream["x-real-ip"]).toBe("127.0.0.1");
    expect(upstream["x-forwarded-proto"]).toBe("http");
  });

  test.each(["127.0.0.1", "127.0.0.0/8", "0.0.0.0/0"])(
    "is believed when %s is trusted",
    async (range) => {
      const { upstream, client } = await exchange(
        { trustedIps: ["::1", range] },
        TOLD,
      );
      expect(upstream).toMatchObject({
        ...TOLD,
        "x-forwarded-for": "192.0.2.7, 10.0.0.9, 127.0.0.1",
      });
      expect(client["x-holdfast-request-id"]).toBe("outer-1");
    },
  );

  test("that says nothing leaves the connection's own", async () => {
    const { upstream, port, client } = await exchange(
      { trustedIps: ["127.0.0.1"] },
      { "x-forwarded-proto": "gopher", "x-forwarded-port": "http" },
    );
    expect(upstream).toMatchObject({
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "127.0.0.1",
      "x-forwarded-port": port,
      "x-forwarded-path": "/api/x",
      "x-forwarded-prefix": "/api",
      "x-real-ip": "127.0.0.1",
    });
    expect(client["x-holdfast-request-id"]).toMatch(/^[0-9a-f]{32}$/);
  });

  test.each([
    [false, "192.0.2.7, 10.0.0.9", "10.0.0.9"],
    [true, "198.51.100.1, 192.0.2.7, 10.0.0.9", "192.0.2.7"],
    [true, "10.0.0.8, 10.0.0.9", "10.0.0.8"],
    [true, "192.0.2.7:4711, 10.0.0.9", "192.0.2.7"],
    [true, "[2001:db8::1]:4711,10.0.0.9", "2001:db8::1"],
    [true, "192.0.2.7, unknown, 10.0.0.9", "10.0.0.9"],
    [false, "unknown", "127.0.0.1"],
  ])(
    "tells the client's address in a list, recursive %s: %s",
    async (realIpRecursive, list, address) => {
      const { upstream } = await exchange(
        {
          trustedIps: ["127.0.0.1", "10.0.0.0/8"],
          realIpHeader: "X-Forwarded-For",
          realIpRecursive,
        },
        { "x-forwarded-for": list },
      );
      expect(upstream["x-real-ip"]).toBe(address);
      expect(upstream["x-forwarded-for"]).toBe(`${list}, 127.0.0.1`);
    },
  );

  test("that came by https satisfies a route for https only", async () => {
    const route = { protocols: ["https"], httpsRedirectStatusCode: 301 };
    const trusting = { trustedIps: ["127.0.0.1"] };
    const secure = { "x-forwarded-proto": "https" };
    expect((await exchange(trusting, secure, route)).status).toBe(200);
    expect((await exchange({}, secure, route)).status).toBe(301);
    const moved = await exchange(
      trusting,
      { "x-forwarded-host": "shop.example" },
      route,
    );
    expect(moved.client.location).toBe("https://shop.example/api/x?y");
  });
});

describe("the gateway's own headers", () => {
  test("have Kong's names when that is wished, in answers of both kinds and upstream", async () => {
    const headers = { kongNames: true };
    const { upstream, client } = await exchange(headers, {
      "x-kong-request-id": "mine",
    });
    expect(client).toMatchObject({
      "x-kong-upstream-latency": expect.stringMatching(/^\d+$/) as string,
      "x-kong-proxy-latency": expect.stringMatching(/^\d+$/) as string,
    });
    expect(client["x-kong-request-id"]).toMatch(/^[0-9a-f]{32}$/);
    expect(upstream["x-kong-request-id"]).toBe(client["x-kong-request-id"]);
    await using gateway = await TestGateway.start([], { headers });
    const own = await gateway.ask("/x");
    expect(own.headers).toMatchObject({
      "x-kong-response-latency": expect.stringMatching(/^\d+$/) as string,
      "x-kong-request-id": own.json()["request_id"],
    });
    for (const name of Object.keys({ ...client, ...own.headers, ...upstream }))
      expect(name).not.toContain("holdfast");
  });

  test("do not have the upstream's status unless that is wished", async () => {
    const told = await exchange({ upstreamStatus: true }, {});
    expect(told.client["x-holdfast-upstream-status"]).toBe("200");
    const silent = await exchange({}, {});
    expect(silent.client).not.toHaveProperty("x-holdfast-upstream-status");
    await using gateway = await TestGateway.start([], {
      headers: { upstreamStatus: true },
    });
    expect((await gateway.ask("/x")).headers).not.toHaveProperty(
      "x-holdfast-upstream-status",
    );
  });

  test("have the revision when that is wished, also in the gateway's own answers", async () => {
    const told = await exchange({ revision: true }, {});
    expect(told.client["x-holdfast-revision"]).toBe("1");
    const silent = await exchange({}, {});
    expect(silent.client).not.toHaveProperty("x-holdfast-revision");
    await using gateway = await TestGateway.start([], {
      headers: { revision: true },
    });
    await gateway.serve([]);
    expect((await gateway.ask("/x")).headers["x-holdfast-revision"]).toBe("2");
  });

  test("name the route and the service to who asks, when that is allowed", async () => {
    const asking = { "kong-debug": "1" };
    const told = await exchange({ debug: true }, asking);
    expect(told.client).toMatchObject({
      "kong-route-id": id(2),
      "kong-route-name": "route",
      "kong-service-id": id(1),
      "kong-service-name": "service",
    });
    for (const { client } of [
      await exchange({ debug: true }, {}),
      await exchange({ debug: true }, { "kong-debug": "0" }),
      await exchange({}, asking),
    ])
      expect(client).not.toHaveProperty("kong-route-id");
  });
});
