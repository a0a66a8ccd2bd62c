import { createServer as createTcpServer } from "node:net";
import { describe, expect, test } from "vitest";
import type { Resource } from "../../../../src/gen/holdfast/config/v1/resource_pb.js";
import type { UpstreamView } from "../../../../src/dp/gateway/upstreams/view.ts";
import {
  address,
  DnsServer,
  service,
  zoneOf,
} from "../../../support/dns-server.ts";
import { deadPort } from "../../../support/dead-port.ts";
import { eventually } from "../../../support/eventually.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { id, resource } from "../../../support/resources.ts";
import { Upstream } from "../../../support/upstream.ts";

/** A route "/" to an upstream "pool.test" with these targets. */
function pool(
  targets: readonly (readonly [target: string, weight: number])[],
  fields: object = {},
  retries = 5,
): Resource[] {
  return [
    ...toHost("pool.test", 80, retries),
    resource("upstream", { id: id(3), name: "pool.test", ...fields }),
    ...targets.map(([target, weight], i) =>
      resource("target", {
        id: id(100 + i),
        upstream: { id: id(3) },
        target,
        weight,
      }),
    ),
  ];
}

function toHost(host: string, port: number, retries = 5): Resource[] {
  return [
    resource("service", { id: id(1), name: "s", host, port, retries }),
    resource("route", { id: id(2), paths: ["/"], service: { id: id(1) } }),
  ];
}

/** An upstream that answers with its name, and with a status that can be changed. */
async function named(name: string) {
  const state = { status: 200, asked: [] as string[] };
  const upstream = await Upstream.start((request, response) => {
    state.asked.push(`${request.url ?? ""} ${request.headers.host ?? ""}`);
    response.statusCode = state.status;
    response.end(name);
  });
  return Object.assign(upstream, { state });
}

async function texts(gateway: TestGateway, count: number): Promise<string[]> {
  const all: string[] = [];
  for (let i = 0; i < count; i++) all.push((await gateway.ask("/")).text);
  return all;
}

function healthOf([view]: readonly UpstreamView[]): string[] {
  return (view?.targets ?? []).flatMap(({ health, addresses }) =>
    addresses.length === 0 ? [health] : addresses.map((one) => one.health),
  );
}

const PASSIVE = {
  passive: { unhealthy: { tcpFailures: 1, httpFailures: 2, timeouts: 1 } },
} as const;

describe("names", () => {
  test("a target and a plain host go where their records say, with the name as Host", async () => {
    await using a = await named("a");
    await using dns = await DnsServer.start(
      zoneOf(() => [
        address("a.test", "127.0.0.1"),
        service("_api.test", "a.test", { port: a.port, weight: 3 }),
        service("_now.test", "a.test", { port: a.port }, 0),
      ]),
    );
    const options = { dnsServers: [dns.address] };
    await using gateway = await TestGateway.start(
      toHost("a.test", a.port),
      options,
    );
    expect((await gateway.ask("/plain")).text).toBe("a");
    await gateway.serve(pool([[`a.test:${a.port}`, 1]]));
    expect((await gateway.ask("/target")).text).toBe("a");
    // The port of an SRV record goes before the target's own.
    await gateway.serve(pool([["_api.test:9", 1]]));
    expect((await gateway.ask("/srv")).text).toBe("a");
    expect(gateway.gateway.upstreams()[0]?.targets[0]).toMatchObject({
      target: "_api.test:9",
      addresses: [{ address: `127.0.0.1:${a.port}`, weight: 3 }],
    });
    await gateway.serve(pool([["_api.test:9", 1]], { useSrvName: true }));
    expect((await gateway.ask("/srv-name")).text).toBe("a");
    // One that is looked up for each request.
    await gateway.serve(pool([["_now.test:9", 1]]));
    expect((await gateway.ask("/srv-now")).text).toBe("a");
    expect(a.state.asked).toEqual([
      `/plain a.test:${a.port}`,
      `/target a.test:${a.port}`,
      `/srv _api.test:${a.port}`,
      `/srv-name a.test:${a.port}`,
      `/srv-now _now.test:${a.port}`,
    ]);
  });

  test.each([
    ["NXDOMAIN", 503, "name resolution failed"],
    ["SERVFAIL", 500, "An unexpected error occurred"],
  ] as const)("%s is answered with %i", async (how, status, message) => {
    await using dns = await DnsServer.start(() => ({ how }));
    const options = { dnsServers: [dns.address] };
    await using gateway = await TestGateway.start(
      toHost("no.test", 80),
      options,
    );
    const plain = await gateway.ask("/");
    expect([plain.status, plain.json()["message"]]).toEqual([status, message]);
    await gateway.serve(pool([["no.test:80", 1]]));
    const target = await gateway.ask("/");
    expect([target.status, target.json()["message"]]).toEqual([
      status,
      message,
    ]);
    expect(healthOf(gateway.gateway.upstreams())).toEqual(["DNS_ERROR"]);
  });

  test("a name with a time to live of 0 is looked up for every request", async () => {
    await using a = await named("a");
    await using dns = await DnsServer.start(
      zoneOf(() => [address("a.test", "127.0.0.1", 0)]),
    );
    const options = { dnsServers: [dns.address] };
    await using gateway = await TestGateway.start(
      pool([[`a.test:${a.port}`, 7]]),
      options,
    );
    await gateway.ask("/");
    const asked = dns.asked.length;
    expect(await texts(gateway, 3)).toEqual(["a", "a", "a"]);
    expect(dns.asked.length).toBe(asked + 3);
    expect(gateway.gateway.upstreams()[0]?.targets[0]?.addresses).toMatchObject(
      [{ weight: 7 }],
    );
  });

  test("of a name that is looked up for every request each address gets what its record weighs", async () => {
    await using a = await named("a");
    await using b = await named("b");
    await using dns = await DnsServer.start(
      zoneOf(() => [
        address("a.test", "127.0.0.1"),
        service("_now.test", "a.test", { port: a.port, weight: 1 }, 0),
        service("_now.test", "a.test", { port: b.port, weight: 7 }, 0),
      ]),
    );
    let turn = 0;
    await using gateway = await TestGateway.start(pool([["_now.test:9", 1]]), {
      dnsServers: [dns.address],
      random: () => (turn++ % 8) / 8,
    });
    const all = await texts(gateway, 8);
    expect(all.filter((text) => text === "a").length).toBe(1);
    expect(all.filter((text) => text === "b").length).toBe(7);
  });
});

describe("attempts", () => {
  test("a target that refuses is followed by another, and a body that can be sent again goes along", async () => {
    await using a = await named("a");
    await using gateway = await TestGateway.start(
      pool([
        [`127.0.0.1:${await deadPort()}`, 1000],
        [`127.0.0.1:${a.port}`, 1],
      ]),
    );
    const answer = await gateway.ask("/", { method: "POST", body: "x" });
    expect([answer.status, answer.text]).toEqual([200, "a"]);
  });

  test("without retries there is one attempt", async () => {
    await using a = await named("a");
    await using gateway = await TestGateway.start(
      pool(
        [
          [`127.0.0.1:${await deadPort()}`, 1000],
          [`127.0.0.1:${a.port}`, 1],
        ],
        {},
        0,
      ),
    );
    expect((await gateway.ask("/")).status).toBe(503);
  });

  test("a target of weight 0 is kept and gets nothing, though all others fail", async () => {
    await using a = await named("a");
    await using gateway = await TestGateway.start(
      pool([
        [`127.0.0.1:${await deadPort()}`, 1],
        [`127.0.0.1:${a.port}`, 0],
      ]),
    );
    expect((await gateway.ask("/")).status).toBe(503);
    expect(a.state.asked).toEqual([]);
    expect(gateway.gateway.upstreams()[0]?.targets).toHaveLength(2);
  });
});

describe("health", () => {
  test("traffic that fails makes a target unhealthy, and that survives a change of the configuration", async () => {
    await using a = await named("a");
    await using b = await named("b");
    const targets = [
      [`127.0.0.1:${a.port}`, 1],
      [`127.0.0.1:${b.port}`, 1],
    ] as const;
    await using gateway = await TestGateway.start(
      pool(targets, { healthchecks: PASSIVE }),
    );
    a.state.status = 500;
    await texts(gateway, 6);
    a.state.status = 200;
    expect(new Set(await texts(gateway, 4))).toEqual(new Set(["b"]));
    // Another weight makes another balancer; what is known of the addresses stays.
    await gateway.serve(
      pool([targets[0], [targets[1][0], 9]], { healthchecks: PASSIVE }),
    );
    expect(new Set(await texts(gateway, 4))).toEqual(new Set(["b"]));
    expect(healthOf(gateway.gateway.upstreams())).toEqual([
      "UNHEALTHY",
      "HEALTHY",
    ]);
    // Without health checks there is nothing to be unhealthy by.
    await gateway.serve(pool(targets));
    expect(new Set(await texts(gateway, 4))).toEqual(new Set(["a", "b"]));
    expect(healthOf(gateway.gateway.upstreams())).toEqual([
      "HEALTHCHECKS_OFF",
      "HEALTHCHECKS_OFF",
    ]);
  });

  test("an upstream is unhealthy unless more than its threshold is available", async () => {
    await using a = await named("a");
    const targets = [
      [`127.0.0.1:${a.port}`, 50],
      [`127.0.0.1:${await deadPort()}`, 50],
    ] as const;
    await using gateway = await TestGateway.start(
      pool(targets, { healthchecks: { ...PASSIVE, threshold: 50 } }),
    );
    await texts(gateway, 4);
    const answer = await gateway.ask("/");
    expect([answer.status, answer.json()["message"]]).toEqual([
      503,
      "failure to get a peer from the ring-balancer",
    ]);
    expect(gateway.gateway.upstreams()[0]?.health).toBe("UNHEALTHY");
    await gateway.serve(
      pool(targets, { healthchecks: { ...PASSIVE, threshold: 49 } }),
    );
    expect((await gateway.ask("/")).text).toBe("a");
  });

  test.each(["http", "tcp"])(
    "%s probes find a target unhealthy, and healthy again",
    async (type) => {
      await using a = await named("a");
      await using gateway = await TestGateway.start(
        pool([[`127.0.0.1:${a.port}`, 1]], {
          hostHeader: "probe.test",
          healthchecks: {
            active: {
              type,
              httpPath: "/health",
              headers: { "x-probe": { values: ["1"] } },
              healthy: { interval: 0.02, successes: 1 },
              unhealthy: { interval: 0.02, httpFailures: 2, tcpFailures: 1 },
            },
          },
        }),
      );
      const is = (health: string) =>
        eventually(
          () =>
            healthOf(gateway.gateway.upstreams())[0] === health || undefined,
          health,
        );
      if (type === "tcp") {
        const { port } = a;
        await a[Symbol.asyncDispose]();
        await is("UNHEALTHY");
        const back = createTcpServer((socket) => socket.destroy());
        back.listen(port, "127.0.0.1");
        await is("HEALTHY");
        back.close();
        return;
      }
      a.state.status = 503;
      await is("UNHEALTHY");
      expect((await gateway.ask("/")).status).toBe(503);
      a.state.status = 200;
      await is("HEALTHY");
      expect(a.state.asked).toContain("/health probe.test");
    },
  );

  test("a gateway that leaves probing to others sends none", async () => {
    await using a = await named("a");
    await using gateway = await TestGateway.start();
    gateway.gateway.health.probing = false;
    await gateway.serve(
      pool([[`127.0.0.1:${a.port}`, 1]], {
        healthchecks: {
          active: { healthy: { interval: 0.005, successes: 1 } },
        },
      }),
    );
    for (let i = 0; i < 20; i++) await gateway.ask("/mine");
    expect(a.state.asked.filter((asked) => asked.startsWith("/ "))).toEqual([]);
  });
});

test("a client is known by a cookie that it is given, and stays with its target", async () => {
  await using a = await named("a");
  await using b = await named("b");
  await using gateway = await TestGateway.start(
    pool(
      [
        [`127.0.0.1:${a.port}`, 1],
        [`127.0.0.1:${b.port}`, 1],
      ],
      {
        algorithm: "consistent-hashing",
        hashOn: "cookie",
        hashOnCookie: "sid",
        hashOnCookiePath: "/shop",
      },
    ),
  );
  const seen = new Set<string>();
  for (let client = 0; client < 12; client++) {
    const first = await gateway.ask("/");
    const [cookie = ""] = first.headers["set-cookie"] ?? [];
    expect(cookie).toMatch(/^sid=[0-9a-f-]{36}; Path=\/shop$/);
    const headers = { cookie: cookie.split(";")[0] ?? "" };
    for (let i = 0; i < 3; i++) {
      const next = await gateway.ask("/", { headers });
      expect(next.text).toBe(first.text);
      expect(next.headers["set-cookie"]).toBeUndefined();
    }
    seen.add(first.text);
  }
  expect(seen.size).toBe(2);
});

test("requests under way count until their answer has ended", async () => {
  const held: (() => void)[] = [];
  const asked = { a: 0, b: 0 };
  const holding = (name: keyof typeof asked) =>
    Upstream.start((_request, response) => {
      asked[name]++;
      // The answer has begun, and goes on.
      response.write(name);
      held.push(() => response.end());
    });
  await using a = await holding("a");
  await using b = await holding("b");
  await using gateway = await TestGateway.start(
    pool(
      [
        [`127.0.0.1:${a.port}`, 3],
        [`127.0.0.1:${b.port}`, 1],
      ],
      { algorithm: "least-connections" },
    ),
  );
  const under: Promise<unknown>[] = [];
  const round = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const before = held.length;
      under.push(gateway.ask("/"));
      await eventually(() => held.length > before || undefined, "a request");
    }
  };
  await round(8);
  expect(asked).toEqual({ a: 6, b: 2 });
  for (const end of held.splice(0)) end();
  await Promise.all(under.splice(0));
  await round(4);
  expect(asked).toEqual({ a: 9, b: 3 });
  for (const end of held.splice(0)) end();
  await Promise.all(under);
});
