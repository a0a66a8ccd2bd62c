import { describe, expect, test } from "vitest";
import { allowedOrigins } from "../../../src/dp/plugins/cors/origins.ts";
import { api, routePlugin } from "../../support/api.ts";
import { TestGateway, type Asked } from "../../support/gateway.ts";
import { Upstream } from "../../support/upstream.ts";

const ORIGIN = "https://shop.example";

async function withCors<T>(
  config: object,
  use: (gateway: TestGateway) => Promise<T>,
): Promise<T> {
  await using upstream = await Upstream.start((request, response) => {
    response.writeHead(200, {
      "x-upstream": request.method,
      vary: "Accept-Encoding",
      "access-control-allow-origin": "https://upstream.example",
      "access-control-allow-credentials": "true",
    });
    response.end();
  });
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "cors", config),
  ]);
  return await use(gateway);
}

function preflight(
  config: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Asked> {
  return withCors(config, (gateway) =>
    gateway.ask("/api", {
      method: "OPTIONS",
      headers: {
        origin: ORIGIN,
        "access-control-request-method": "PUT",
        ...headers,
      },
    }),
  );
}

function get(
  config: object,
  headers: Readonly<Record<string, string>> = { origin: ORIGIN },
): Promise<Asked> {
  return withCors(config, (gateway) => gateway.ask("/api", { headers }));
}

/** The headers that are cors's business. */
function corsHeaders({ headers }: Asked): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([name]) => name.startsWith("access-control-") || name === "vary")
      .map(([name, value]) => [name.replace("access-control-", ""), value]),
  );
}

describe("a preflight", () => {
  test("is answered here, with what was asked for", async () => {
    const answer = await preflight(
      {},
      { "access-control-request-headers": "x-a,x-b" },
    );
    expect([answer.status, answer.text]).toEqual([200, ""]);
    expect(answer.headers).not.toHaveProperty("x-upstream");
    expect(corsHeaders(answer)).toEqual({
      "allow-origin": "*",
      "allow-headers": "x-a,x-b",
      "allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT",
    });
  });

  test("is answered with what is configured", async () => {
    const answer = await preflight(
      {
        origins: [ORIGIN],
        headers: ["X-One", "X-Two"],
        methods: ["GET", "PUT"],
        max_age: 3600,
        credentials: true,
        private_network: true,
      },
      {
        "access-control-request-headers": "x-a",
        "access-control-request-private-network": "true",
      },
    );
    expect(corsHeaders(answer)).toEqual({
      "allow-origin": ORIGIN,
      "allow-credentials": "true",
      "allow-headers": "X-One,X-Two",
      "allow-methods": "GET,PUT",
      "allow-private-network": "true",
      "max-age": "3600",
      vary: "Origin",
    });
  });

  test("goes on when it is to, and its answer stays as it is", async () => {
    const answer = await preflight({
      preflight_continue: true,
      origins: [ORIGIN],
    });
    expect(answer.headers["x-upstream"]).toBe("OPTIONS");
    expect(corsHeaders(answer)).toEqual({
      "allow-origin": "https://upstream.example",
      "allow-credentials": "true",
      vary: "Accept-Encoding",
    });
  });

  test("of another origin gets no leave", async () => {
    expect(
      corsHeaders(
        await preflight({
          origins: ["https://a.example", "https://b.example"],
        }),
      ),
    ).toEqual({
      "allow-methods": expect.any(String) as string,
      vary: "Origin",
    });
  });

  test("is only one with an origin and a method asked for", async () => {
    const answer = await withCors({}, (gateway) =>
      gateway.ask("/api", { method: "OPTIONS", headers: { origin: ORIGIN } }),
    );
    expect(answer.headers["x-upstream"]).toBe("OPTIONS");
  });
});

describe("any other answer", () => {
  test.each<
    [
      what: string,
      config: object,
      headers: Record<string, string>,
      cors: Record<string, unknown>,
    ]
  >([
    [
      "any origin",
      {},
      { origin: ORIGIN },
      {
        "allow-origin": "*",
        "allow-credentials": "true",
        vary: "Accept-Encoding",
      },
    ],
    [
      "any origin, with credentials",
      { credentials: true },
      { origin: ORIGIN },
      {
        "allow-origin": ORIGIN,
        "allow-credentials": "true",
        vary: "Accept-Encoding, Origin",
      },
    ],
    [
      "any origin, with credentials but no origin",
      { credentials: true },
      {},
      {
        "allow-origin": "*",
        "allow-credentials": "true",
        vary: "Accept-Encoding",
      },
    ],
    [
      "one origin, whoever asks",
      { origins: [ORIGIN] },
      { origin: "https://other.example" },
      {
        "allow-origin": ORIGIN,
        "allow-credentials": "true",
        vary: "Accept-Encoding, Origin",
      },
    ],
    [
      "one of several",
      { origins: ["https://a.example", ORIGIN], credentials: true },
      { origin: ORIGIN },
      {
        "allow-origin": ORIGIN,
        "allow-credentials": "true",
        vary: "Accept-Encoding, Origin",
      },
    ],
    [
      "none of several: not even the upstream's leave",
      { origins: ["https://a.example", "https://b.example"] },
      { origin: ORIGIN },
      { vary: "Accept-Encoding, Origin" },
    ],
    [
      "exposed headers",
      { exposed_headers: ["X-A", "X-B"] },
      { origin: ORIGIN },
      {
        "allow-origin": "*",
        "allow-credentials": "true",
        "expose-headers": "X-A,X-B",
        vary: "Accept-Encoding",
      },
    ],
    [
      "no origin, when that is to be left alone",
      { allow_origin_absent: false, origins: [ORIGIN] },
      {},
      {
        "allow-origin": "https://upstream.example",
        "allow-credentials": "true",
        vary: "Accept-Encoding",
      },
    ],
  ])("%s", async (_what, config, headers, cors) => {
    expect(corsHeaders(await get(config, headers))).toEqual(cors);
  });

  test("of the gateway's own, such as a 401, has the headers too", async () => {
    await using gateway = await TestGateway.start([
      ...api(1),
      routePlugin(3, "cors", { origins: [ORIGIN] }),
      routePlugin(4, "key-auth"),
    ]);
    const answer = await gateway.ask("/api", { headers: { origin: ORIGIN } });
    expect([
      answer.status,
      answer.headers["access-control-allow-origin"],
    ]).toEqual([401, ORIGIN]);
  });
});

describe("an origin is allowed by", () => {
  const allows = (entries: string[], origin: string): boolean => {
    // A second entry, so that a single origin is compared too.
    const allowed = allowedOrigins([...entries, "https://unused.example"]);
    return allowed.type === "some" && allowed.allows(origin);
  };
  test.each([
    ["https://a.example", "https://a.example", true],
    ["https://a.example", "https://A.example:443", true],
    ["https://a.example:8443", "https://a.example", false],
    ["https://a.example", "http://a.example", false],
    ["a.example", "http://a.example", true],
    ["a.example", "https://a.example:8443", true],
    ["a.example:8443", "https://a.example:8443", true],
    ["a.example:8443", "https://a.example", false],
    ["a.example", "https://xa.example", false],
    ["https://.*\\.a\\.example", "https://x.a.example", true],
    [".*\\.a\\.example", "https://x.a.example:8443", true],
    ["https://a\\.example", "https://a.example.evil.test", false],
    ["a\\.example", "https://evil-a.example", false],
    ["^https?://a\\.example$", "http://a.example", true],
    ["https://(a|ab)\\.example|http://x", "https://ab.example", true],
    ["https://a\\.example", "null", false],
  ])("%j: %j is %j", (entry, origin, allowed) => {
    expect(allows([entry], origin)).toBe(allowed);
  });
});
