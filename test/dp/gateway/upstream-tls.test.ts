import { create } from "@bufbuild/protobuf";
import { once } from "node:events";
import { createServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";
import { healthRules } from "../../../src/dp/gateway/upstreams/health/health-rules.ts";
import { probe } from "../../../src/dp/gateway/upstreams/health/probe.ts";
import type { Resource } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { UpstreamSchema } from "../../../src/gen/holdfast/config/v1/upstream_pb.js";
import { systemClock } from "../../../src/runtime/clock.ts";
import { api } from "../../support/api.ts";
import { CA_CERT } from "../../support/certificates.ts";
import { eventually } from "../../support/eventually.ts";
import { TestGateway } from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";
import {
  CLIENT_CERT,
  CLIENT_KEY,
  MIDDLE_CERT,
  ROOT_CERT,
  SERVER_CERT,
  SERVER_KEY,
} from "../../support/tls-chain.ts";

/** An upstream over TLS that says which server name it was asked by and who asks. */
async function tlsUpstream(options: ServerOptions = {}) {
  const asked: unknown[] = [];
  const server = createServer(
    { cert: SERVER_CERT + MIDDLE_CERT, key: SERVER_KEY, ...options },
    (request, response) => {
      const { socket } = request;
      if (!(socket instanceof TLSSocket)) throw new TypeError("not over TLS");
      const { subject } = socket.getPeerCertificate() as {
        subject?: { CN: string };
      };
      const seen = {
        name: "servername" in socket ? socket.servername : null,
        client: subject?.CN ?? null,
      };
      asked.push({ url: request.url, host: request.headers.host, ...seen });
      response.end(JSON.stringify(seen));
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // Whoever closes a connection in these tests, it is not the upstream.
  server.keepAliveTimeout = 0;
  const connections = new Set<Duplex>();
  server.on("connection", (socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
  });
  return {
    asked,
    connections,
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** A service of an upstream that is called as its certificate says. */
function tlsApi(
  port: number,
  service: object,
  upstream: object = {},
): Resource[] {
  return [
    ...api(443, {
      service: { protocol: "https", host: "pool", retries: 0, ...service },
    }),
    resource("upstream", {
      id: id(10),
      name: "pool",
      hostHeader: "pay.example",
      ...upstream,
    }),
    resource("target", {
      id: id(11),
      upstream: { id: id(10) },
      target: `127.0.0.1:${port}`,
    }),
    resource("caCertificate", { id: id(12), cert: ROOT_CERT }),
    resource("caCertificate", { id: id(13), cert: CA_CERT }),
    resource("certificate", { id: id(14), cert: CLIENT_CERT, key: CLIENT_KEY }),
  ];
}

describe("the certificate of an upstream", () => {
  test.each<[what: string, service: object, upstream: object, status: number]>([
    ["is not verified unless the service says so", {}, {}, 200],
    [
      "passes with its authority",
      { tlsVerify: true, caCertificates: [id(12)] },
      {},
      200,
    ],
    [
      "passes with one of several authorities",
      { tlsVerify: true, caCertificates: [id(13), id(12)] },
      {},
      200,
    ],
    [
      "fails with another authority",
      { tlsVerify: true, caCertificates: [id(13)] },
      {},
      502,
    ],
    ["fails without an authority of its own", { tlsVerify: true }, {}, 502],
    [
      "fails for another name",
      { tlsVerify: true, caCertificates: [id(12)] },
      { hostHeader: "other.example" },
      502,
    ],
    [
      "passes when its chain is as long as allowed",
      { tlsVerify: true, caCertificates: [id(12)], tlsVerifyDepth: 1 },
      {},
      200,
    ],
    [
      "fails when its chain is too long",
      { tlsVerify: true, caCertificates: [id(12)], tlsVerifyDepth: 0 },
      {},
      502,
    ],
  ])("%s", async (_what, service, pool, status) => {
    await using upstream = await tlsUpstream();
    await using gateway = await TestGateway.start(
      tlsApi(upstream.port, service, pool),
    );
    const answer = await gateway.ask("/api");
    expect(answer.status).toBe(status);
    // A second request may come by a session that was kept: it is verified all the same.
    expect((await gateway.ask("/api")).status).toBe(status);
  });

  test("is verified for all services when the gateway is set up so", async () => {
    await using upstream = await tlsUpstream();
    await using gateway = await TestGateway.start(tlsApi(upstream.port, {}), {
      tlsVerify: true,
    });
    expect((await gateway.ask("/api")).status).toBe(502);
  });
});

test("the server name is the host that is asked for", async () => {
  await using upstream = await tlsUpstream();
  await using gateway = await TestGateway.start(tlsApi(upstream.port, {}));
  expect((await gateway.ask("/api")).json()).toEqual({
    name: "pay.example",
    client: null,
  });
});

test.each([
  ["service", { clientCertificate: { id: id(14) } }, {}],
  ["upstream", {}, { clientCertificate: { id: id(14) } }],
])(
  "the client certificate of the %s is shown",
  async (_whose, service, pool) => {
    await using upstream = await tlsUpstream({
      requestCert: true,
      rejectUnauthorized: true,
      ca: ROOT_CERT,
    });
    await using gateway = await TestGateway.start(
      tlsApi(upstream.port, service, pool),
    );
    expect((await gateway.ask("/api")).json()).toEqual({
      name: "pay.example",
      client: "client",
    });
  },
);

test("connections are not shared by services with other TLS settings, and go when their settings go", async () => {
  await using upstream = await tlsUpstream();
  await using gateway = await TestGateway.start(tlsApi(upstream.port, {}));
  await gateway.ask("/api");
  expect(gateway.gateway.upstreamConnections).toEqual({ busy: 0, open: 1 });
  await gateway.serve(
    tlsApi(upstream.port, { tlsVerify: true, caCertificates: [id(12)] }),
  );
  expect(gateway.gateway.upstreamConnections).toEqual({ busy: 0, open: 0 });
  await eventually(
    () => (upstream.connections.size === 0 ? true : undefined),
    "the old connection is closed",
  );
  await gateway.ask("/api");
  await gateway.serve(
    tlsApi(upstream.port, {
      tlsVerify: true,
      caCertificates: [id(12)],
      path: "/x",
    }),
  );
  expect(gateway.gateway.upstreamConnections).toEqual({ busy: 0, open: 1 });
});

describe("probes over TLS", () => {
  const health = {
    healthy: { interval: 0.02, successes: 1 },
    unhealthy: { interval: 0.02, tcpFailures: 1, timeouts: 1 },
  };
  const probes = (active: object) => ({
    healthchecks: { active: { ...health, ...active } },
  });
  const judged = (gateway: TestGateway, expected: string) =>
    eventually(
      () =>
        gateway.gateway.upstreams()[0]?.targets[0]?.addresses[0]?.health ===
          expected || undefined,
      `the target to be ${expected}`,
    );

  test("https: a certificate that nobody vouches for is a failure, unless it is not looked at; the server name and the client's certificate are those that are set", async () => {
    await using upstream = await tlsUpstream({
      requestCert: true,
      rejectUnauthorized: false,
    });
    const https = { type: "https", httpPath: "/health" };
    await using gateway = await TestGateway.start(
      tlsApi(upstream.port, {}, probes(https)),
    );
    await judged(gateway, "UNHEALTHY");
    expect(upstream.asked).toEqual([]);
    expect((await gateway.ask("/api")).status).toBe(503);
    await gateway.serve(
      tlsApi(
        upstream.port,
        {},
        probes({ ...https, httpsVerifyCertificate: false }),
      ),
    );
    await judged(gateway, "HEALTHY");
    expect((await gateway.ask("/api")).status).toBe(200);
    // The upstream's Host is the name too, as long as none is set.
    expect(upstream.asked[0]).toEqual({
      url: "/health",
      host: "pay.example",
      name: "pay.example",
      client: null,
    });
    const before = upstream.asked.length;
    await gateway.serve(
      tlsApi(
        upstream.port,
        {},
        {
          clientCertificate: { id: id(14) },
          ...probes({
            ...https,
            httpsVerifyCertificate: false,
            httpsSni: "probe.example",
          }),
        },
      ),
    );
    const client = await eventually(
      () =>
        upstream.asked
          .slice(before)
          .find((one) => (one as { client: unknown }).client !== null),
      "a probe with the client's certificate",
    );
    expect(client).toMatchObject({
      host: "pay.example",
      name: "probe.example",
    });
  });

  test.each<[host: string, name: string, header: string | undefined]>([
    ["that is a name", "pay.example", undefined],
    ["that is a name with a port", "10.0.0.7", "pay.example:8443"],
    ["that is an address", "10.0.0.7", undefined],
    ["that is an IPv6 address", "2001:db8::7", undefined],
    ["that is one with a port", "10.0.0.7", "[2001:db8::7]:8443"],
  ])(
    "https: of a Host %s the name is what TLS asks for, without its port, and of an address nothing",
    async (_host, name, hostHeader) => {
      await using upstream = await tlsUpstream();
      const outcome = await probe(
        {
          rules: healthRules(
            create(UpstreamSchema, {
              healthchecks: {
                active: {
                  type: "https",
                  timeout: 10,
                  httpsVerifyCertificate: false,
                  healthy: { httpStatuses: [200] },
                },
              },
            }),
          ).active,
          name,
          address: "127.0.0.1",
          port: upstream.port,
          hostHeader,
          identities: [],
        },
        systemClock,
      );
      expect(outcome).toBe("success");
      const isNamed = (hostHeader ?? name).startsWith("pay.example");
      expect(upstream.asked).toMatchObject([
        { url: "/", name: isNamed ? "pay.example" : false },
      ]);
    },
  );

  test("grpcs: no more than a connection with TLS is asked for", async () => {
    await using upstream = await tlsUpstream();
    const grpcs = { type: "grpcs", httpsVerifyCertificate: false };
    await using gateway = await TestGateway.start(
      tlsApi(upstream.port, {}, probes({ type: "grpcs" })),
    );
    await judged(gateway, "UNHEALTHY");
    await gateway.serve(tlsApi(upstream.port, {}, probes(grpcs)));
    await judged(gateway, "HEALTHY");
    expect(upstream.asked).toEqual([]);
  });
});
