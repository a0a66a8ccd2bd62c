import { createServer, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { once } from "node:events";
import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { Gateway } from "../../../src/dp/gateway/gateway.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { api } from "../../support/api.ts";
import { TestGateway, ask } from "../../support/gateway.ts";
import { RawConnection } from "../../support/raw-http.ts";
import { id, resource } from "../../support/resources.ts";
import { Upstream } from "../../support/upstream.ts";

/** What the echoing upstream says it was asked. */
interface Echo {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** An upstream that answers with the raw headers, the body and the trailers it got. */
function mirror(): Promise<Upstream> {
  return Upstream.start((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () =>
      response.end(
        JSON.stringify({
          method: request.method,
          url: request.url,
          rawHeaders: request.rawHeaders,
          body: Buffer.concat(chunks).toString("utf8"),
          trailers: request.trailers,
        }),
      ),
    );
  });
}

describe("answers of the gateway itself", () => {
  test("before any configuration it is 503, and nothing is counted", async () => {
    await using upstream = await Upstream.start();
    await using gateway = await Gateway.listen({
      listen: { host: "127.0.0.1", port: 0 },
      onUnsupported: "refuse",
      clock: systemClock,
      logger: silentLogger,
    });
    const port = Number(gateway.address.split(":")[1]);
    const answer = await ask(port, "/");
    expect(answer.status).toBe(503);
    expect(answer.json()).toEqual({
      message: expect.stringContaining("no configuration yet") as string,
      request_id: answer.headers["x-holdfast-request-id"],
    });
    expect(gateway.serving).toBeUndefined();
    expect(gateway.takeCounters()).toEqual([]);
    expect(upstream.connections).toBe(0);
  });

  test("no route, no service, a disabled service", async () => {
    await using gateway = await TestGateway.start([
      ...api(1, { service: { enabled: false } }),
      resource("route", { id: id(3), paths: ["/lonely"] }),
    ]);
    const [none, lonely, disabled] = [
      await gateway.ask("/x"),
      await gateway.ask("/lonely"),
      await gateway.ask("/api"),
    ];
    expect([none.status, none.json()["message"]]).toEqual([
      404,
      "no Route matched with those values",
    ]);
    expect([lonely.status, lonely.json()["message"]]).toEqual([
      503,
      "no Service found with those values",
    ]);
    expect(disabled.status).toBe(404);
    expect(none.headers).toMatchObject({
      "content-type": "application/json; charset=utf-8",
      server: "holdfast",
      "x-holdfast-response-latency": expect.stringMatching(/^\d+$/) as string,
      "x-holdfast-request-id": none.json()["request_id"],
    });
  });

  test("HEAD gets the same head without a body", async () => {
    await using gateway = await TestGateway.start();
    const head = await gateway.ask("/x", { method: "HEAD" });
    expect([head.status, head.text]).toEqual([404, ""]);
  });

  test.each([301, 302, 307, 308])(
    "http on a route for https only is redirected with each of its statuses: %i",
    async (status) => {
      await using gateway = await TestGateway.start(
        api(1, {
          route: { protocols: ["https"], httpsRedirectStatusCode: status },
        }),
      );
      const moved = await gateway.ask("/api");
      expect([moved.status, moved.headers.location]).toEqual([
        status,
        "https://127.0.0.1/api",
      ]);
    },
  );

  test("http on a route for https only: an upgrade, or a redirect", async () => {
    await using gateway = await TestGateway.start([
      ...api(1, { route: { protocols: ["https"] } }),
      resource("route", {
        id: id(3),
        paths: ["/moved"],
        protocols: ["https"],
        httpsRedirectStatusCode: 308,
        service: { id: id(1) },
      }),
    ]);
    const upgrade = await gateway.ask("/api");
    expect(upgrade.status).toBe(426);
    expect(upgrade.headers).toMatchObject({
      connection: "Upgrade",
      upgrade: "TLS/1.2, HTTP/1.1",
    });
    expect(upgrade.json()["message"]).toBe("Please use HTTPS protocol");
    const moved = await gateway.ask("/moved/a%2fb?x=1&y", {
      headers: { host: "Shop.example:8000" },
    });
    expect([moved.status, moved.headers.location]).toEqual([
      308,
      "https://shop.example/moved/a%2fb?x=1&y",
    ]);
  });
});

describe("what goes upstream", () => {
  test("path, query, method and body", async () => {
    await using upstream = await mirror();
    await using gateway = await TestGateway.start(
      api(upstream.port, { service: { path: "/base" } }),
    );
    const answer = await gateway.ask("/api//a/../b%2Fc/%7Ed?q=//x/../y&%20&", {
      method: "PUT",
      body: "héllo",
    });
    expect(answer.json()).toMatchObject({
      method: "PUT",
      url: "/base/b%2Fc/~d?q=//x/../y&%20&",
      body: "héllo",
    });
  });

  test.each([
    ["/api?", "/?"],
    ["/api", "/"],
    ["/api/?a", "/?a"],
    ["/api/x??b", "/x??b"],
  ])("%s becomes %s", async (path, url) => {
    await using upstream = await mirror();
    await using gateway = await TestGateway.start(api(upstream.port));
    expect((await gateway.ask(path)).json()["url"]).toBe(url);
  });

  test("an expression's match is taken away, and told", async () => {
    await using upstream = await Upstream.start();
    await using gateway = await TestGateway.start(
      api(upstream.port, { route: { paths: ["~/v\\d+/api"] } }),
    );
    const { url, headers } = (await gateway.ask("/v12/api/x")).json<Echo>();
    expect([url, headers["x-forwarded-prefix"]]).toEqual(["/x", "/v12/api"]);
  });

  test("without strip_path nothing is taken away", async () => {
    await using upstream = await Upstream.start();
    await using gateway = await TestGateway.start(
      api(upstream.port, { route: { stripPath: false } }),
    );
    const { url, headers } = (await gateway.ask("/api/x")).json<Echo>();
    expect(url).toBe("/api/x");
    expect(headers).not.toHaveProperty("x-forwarded-prefix");
  });

  test("where the request came from", async () => {
    await using upstream = await Upstream.start();
    await using gateway = await TestGateway.start(api(upstream.port));
    const answer = await gateway.ask("/api/x?y", {
      headers: {
        host: "Shop.example:81",
        "x-forwarded-for": "6.6.6.6",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "evil",
        "x-forwarded-port": "1",
        "x-forwarded-path": "/evil",
        "x-forwarded-prefix": "/evil",
        "x-real-ip": "6.6.6.6",
        "x-holdfast-request-id": "mine",
        via: "1.0 other",
      },
    });
    expect(answer.json<Echo>().headers).toMatchObject({
      host: `127.0.0.1:${upstream.port}`,
      "x-forwarded-for": "6.6.6.6, 127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "shop.example",
      "x-forwarded-port": String(gateway.port),
      "x-forwarded-path": "/api/x",
      "x-forwarded-prefix": "/api",
      "x-real-ip": "127.0.0.1",
      "x-holdfast-request-id": answer.headers["x-holdfast-request-id"],
      via: "1.0 other, 1.1 holdfast",
    });
  });

  test("the client's host when it is preserved", async () => {
    await using upstream = await Upstream.start();
    await using gateway = await TestGateway.start(
      api(upstream.port, { route: { preserveHost: true } }),
    );
    const answer = await gateway.ask("/api", {
      headers: { host: "Shop.example:81" },
    });
    expect(answer.json<Echo>().headers["host"]).toBe("Shop.example:81");
  });

  test("no hop-by-hop header, no forged identity, no Proxy", async () => {
    await using upstream = await Upstream.start();
    await using gateway = await TestGateway.start(api(upstream.port));
    const answer = await gateway.ask("/api", {
      headers: {
        connection: "keep-alive, X-Hop",
        "x-hop": "1",
        "keep-alive": "timeout=9",
        te: "gzip, trailers",
        "proxy-authorization": "Basic x",
        "proxy-connection": "keep-alive",
        proxy: "http://evil",
        "x-consumer-id": "me",
        x_consumer_username: "me",
        "x-credential-identifier": "me",
        "x-anonymous-consumer": "true",
      },
    });
    const { headers } = answer.json<Echo>();
    expect(headers).toMatchObject({ te: "trailers", connection: "keep-alive" });
    for (const name of [
      "x-hop",
      "keep-alive",
      "proxy-authorization",
      "proxy-connection",
      "proxy",
      "x-consumer-id",
      "x_consumer_username",
      "x-credential-identifier",
      "x-anonymous-consumer",
    ])
      expect(headers).not.toHaveProperty(name);
  });

  test("repeated headers stay apart, in their case and in bytes", async () => {
    await using upstream = await mirror();
    await using gateway = await TestGateway.start(api(upstream.port));
    const raw = await RawConnection.open(gateway.host);
    await raw.write(
      Buffer.from(
        "GET /api HTTP/1.1\r\nHost: a\r\nX-Many: 1\r\nx-many: 2\r\nX-Latin: \xe9\r\n__proto__: x\r\nConnection: close\r\n\r\n",
        "latin1",
      ),
    );
    const text = await raw.closed();
    const { rawHeaders } = JSON.parse(text.slice(text.indexOf("{"))) as {
      rawHeaders: string[];
    };
    const values = (name: string): string[] =>
      rawHeaders.filter((_, i) => rawHeaders[i - 1]?.toLowerCase() === name);
    expect(values("x-many")).toEqual(["1", "2"]);
    // The upstream reads Latin-1 and answers in UTF-8.
    expect(values("x-latin")).toEqual(["Ã©"]);
  });

  test.each(["POST", "DELETE", "OPTIONS", "GET"])(
    "a chunked %s with trailers arrives whole",
    async (method) => {
      await using upstream = await mirror();
      await using gateway = await TestGateway.start(api(upstream.port));
      const raw = await RawConnection.open(gateway.host);
      await raw.write(
        `${method} /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n`,
        "5\r\nhello\r\n",
        "6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n",
      );
      const text = await raw.closed();
      expect(text).toContain('"body":"hello world"');
      expect(text).toContain('"trailers":{"x-sum":"11"}');
    },
  );

  test("a body is not asked for before the upstream is there", async () => {
    await using upstream = await mirror();
    await using gateway = await TestGateway.start(api(upstream.port));
    const raw = await RawConnection.open(gateway.host);
    await raw.write(
      "POST /api HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
    );
    await raw.until(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    await raw.write("hi");
    expect(await raw.closed()).toContain('"body":"hi"');
    const lost = await RawConnection.open(gateway.host);
    await lost.write(
      "POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    expect(await lost.closed()).toMatch(/^HTTP\/1\.1 404 .*Connection: close/s);
  });

  test("the absolute form names the host", async () => {
    await using upstream = await Upstream.start();
    await using gateway = await TestGateway.start(
      api(upstream.port, {
        route: { hosts: ["shop.example"], preserveHost: true },
      }),
    );
    const raw = await RawConnection.open(gateway.host);
    await raw.write(
      "GET http://shop.example/api/x HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n",
    );
    const text = await raw.closed();
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toContain('"host":"shop.example"');
    expect(text).toContain('"url":"/x"');
  });
});

describe("what comes back", () => {
  test("status, reason, headers in their case, body and trailers; nothing hop-by-hop", async () => {
    await using upstream = await Upstream.start((_request, response) => {
      response.writeHead(207, "Many", [
        ...["Set-Cookie", "a=1", "Set-Cookie", "b=2", "X-UP", "1"],
        ...["Connection", "X-Hop", "X-Hop", "1", "Keep-Alive", "timeout=99"],
        ...[
          "Proxy-Authenticate",
          "Basic",
          "Trailer",
          "X-T",
          "Via",
          "1.0 cache",
          "X-Holdfast-Request-Id",
          "theirs",
        ],
      ]);
      response.write("body");
      response.addTrailers({ "X-T": "end" });
      response.end();
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    const answer = await gateway.ask("/api");
    expect([answer.status, answer.text, answer.trailers]).toEqual([
      207,
      "body",
      { "x-t": "end" },
    ]);
    expect(answer.rawHeaders).toContain("X-UP");
    expect(answer.headers).toMatchObject({
      "set-cookie": ["a=1", "b=2"],
      via: "1.0 cache, 1.1 holdfast",
      server: "holdfast",
      trailer: "X-T",
      "x-holdfast-upstream-latency": expect.stringMatching(/^\d+$/) as string,
      "x-holdfast-proxy-latency": expect.stringMatching(/^\d+$/) as string,
      "x-holdfast-request-id": expect.stringMatching(
        /^[0-9a-f]{32}$/,
      ) as string,
    });
    for (const name of ["x-hop", "keep-alive", "proxy-authenticate"])
      expect(answer.headers).not.toHaveProperty(name);
  });

  test("a Trailer header without chunks is no reason to fail", async () => {
    await using upstream = await Upstream.start((request, response) => {
      request.socket.end(
        "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nContent-Length: 2\r\nServer: theirs\r\n\r\nok",
      );
      response.on("error", () => undefined);
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    const answer = await gateway.ask("/api");
    expect([answer.status, answer.text, answer.headers["server"]]).toEqual([
      200,
      "ok",
      "theirs",
    ]);
  });

  test.each([204, 304])(
    "a %i has no body and leaves the connection usable",
    async (status) => {
      await using upstream = await Upstream.start((_request, response) => {
        response.writeHead(status, { etag: "x" }).end();
      });
      await using gateway = await TestGateway.start(api(upstream.port));
      const raw = await RawConnection.open(gateway.host);
      await raw.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n");
      await raw.until(/\r\n\r\n$/);
      await raw.write(
        "GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      );
      expect(
        (await raw.closed()).match(new RegExp(`HTTP/1.1 ${status} `, "g")),
      ).toHaveLength(2);
    },
  );

  test("an HTTP/1.0 client gets an answer that ends with the connection", async () => {
    await using upstream = await Upstream.start((_request, response) => {
      response.write("a");
      response.end("b");
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    const raw = await RawConnection.open(gateway.host);
    await raw.write("GET /api HTTP/1.0\r\n\r\n");
    const text = await raw.closed();
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text.toLowerCase()).not.toContain("transfer-encoding");
    expect(text).toMatch(/\r\n\r\nab$/);
  });

  test("5 MB both ways", async () => {
    const big = Buffer.alloc(5_000_000, "x");
    await using upstream = await Upstream.start((request, response) => {
      request.pipe(response);
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    const answer = await gateway.ask("/api", { method: "POST", body: big });
    expect(answer.text.length).toBe(big.length);
  });

  test("connections to the upstream are used again", async () => {
    const seen = new Set<unknown>();
    await using upstream = await Upstream.start((request, response) => {
      seen.add(request.socket);
      response.end();
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    for (let i = 0; i < 5; i++) await gateway.ask("/api");
    expect(seen.size).toBe(1);
    expect(gateway.gateway.upstreamConnections).toEqual({ busy: 0, open: 1 });
  });
});

describe("requests that cannot be read", () => {
  test.each([
    ["no HTTP at all", "hello\r\n\r\n", 400],
    [
      "both framings",
      "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
    ],
    ["no Host in HTTP/1.1", "GET /api HTTP/1.1\r\n\r\n", 400],
    [
      "two Hosts",
      "GET /api HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
      400,
    ],
    [
      "a Host that is none",
      "GET /api HTTP/1.1\r\nHost: a:b:c\r\nConnection: close\r\n\r\n",
      400,
    ],
    [
      "a target that is no path",
      "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      400,
    ],
    [
      "another transfer coding",
      "POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
      400,
    ],
    [
      "too long headers",
      `GET /api HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(40_000)}\r\n\r\n`,
      400,
    ],
    ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405],
  ])("%s", async (_what, bytes, status) => {
    await using gateway = await TestGateway.start();
    const raw = await RawConnection.open(gateway.host);
    await raw.write(bytes);
    await raw.until(new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*"message":`));
    raw.socket.destroy();
    expect((await gateway.ask("/x")).status).toBe(404);
  });

  test("a client that resets its connection harms nobody", async () => {
    await using gateway = await TestGateway.start();
    const socket = connect(gateway.port, "127.0.0.1");
    await once(socket, "connect");
    socket.write("GET /x HT");
    socket.resetAndDestroy();
    expect((await gateway.ask("/x")).status).toBe(404);
  });

  test("a body whose chunks break off ends the request upstream too", async () => {
    let seen: (request: IncomingMessage) => void = () => undefined;
    const arrived = new Promise<IncomingMessage>((resolve) => {
      seen = resolve;
    });
    await using upstream = await Upstream.start((request) => {
      request.on("error", () => undefined);
      request.resume();
      seen(request);
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    const raw = await RawConnection.open(gateway.host);
    await raw.write(
      "POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
      "3\r\nabc\r\n",
      "zz\r\n",
    );
    const request = await arrived;
    await new Promise<void>((resolve) => {
      if (request.closed) resolve();
      else request.once("close", resolve);
    });
    expect(request.complete).toBe(false);
    await raw.closed();
  });
});

describe("balancing", () => {
  async function twoTargets(weights: readonly [number, number]) {
    const answering = (name: string) =>
      Upstream.start((request, response) => {
        response.end(`${name} ${request.headers.host}`);
      });
    const [a, b] = [await answering("a"), await answering("b")];
    const resources = [
      ...api(80, { service: { host: "pool" } }),
      resource("upstream", { id: id(10), name: "pool" }),
      resource("target", {
        id: id(11),
        upstream: { id: id(10) },
        target: `127.0.0.1:${a.port}`,
        weight: weights[0],
      }),
      resource("target", {
        id: id(12),
        upstream: { id: id(10) },
        target: `127.0.0.1:${b.port}`,
        weight: weights[1],
      }),
    ];
    return { a, b, resources };
  }

  test("by weight, each with its own name as host", async () => {
    const { a, b, resources } = await twoTargets([3, 1]);
    await using gateway = await TestGateway.start(resources);
    const texts: string[] = [];
    for (let i = 0; i < 8; i++) texts.push((await gateway.ask("/api")).text);
    const count = (text: string): number =>
      texts.filter((t) => t === text).length;
    expect([
      count(`a 127.0.0.1:${a.port}`),
      count(`b 127.0.0.1:${b.port}`),
    ]).toEqual([6, 2]);
    await a[Symbol.asyncDispose]();
    await b[Symbol.asyncDispose]();
  });

  test("a dead target's requests go to the other one", async () => {
    const { a, b, resources } = await twoTargets([1, 1]);
    await a[Symbol.asyncDispose]();
    await using gateway = await TestGateway.start(resources);
    for (let i = 0; i < 6; i++)
      expect(
        (await gateway.ask("/api", { method: "POST", body: "x" })).text,
      ).toMatch(/^b/);
    await b[Symbol.asyncDispose]();
  });

  test("without targets nobody can answer", async () => {
    await using gateway = await TestGateway.start([
      ...api(80, { service: { host: "pool" } }),
      resource("upstream", { id: id(10), name: "pool" }),
      resource("target", {
        id: id(11),
        upstream: { id: id(10) },
        target: "127.0.0.1:1",
        weight: 0,
      }),
    ]);
    const answer = await gateway.ask("/api");
    expect([answer.status, answer.json()["message"]]).toEqual([
      503,
      "failure to get a peer from the ring-balancer",
    ]);
  });

  test("the upstream's own host header", async () => {
    const { a, b, resources } = await twoTargets([1, 1]);
    await using gateway = await TestGateway.start([
      ...resources.filter((r) => r.kind.case !== "upstream"),
      resource("upstream", {
        id: id(10),
        name: "pool",
        hostHeader: "pool.example",
      }),
    ]);
    expect((await gateway.ask("/api")).text).toMatch(/pool\.example$/);
    await a[Symbol.asyncDispose]();
    await b[Symbol.asyncDispose]();
  });
});

test("a swap does not disturb requests under way, and counts go to the revision that served", async () => {
  const held: (() => void)[] = [];
  await using old = await Upstream.start((request, response) => {
    if (request.url === "/fail") response.writeHead(500).end("old");
    else if (request.url === "/hold") held.push(() => response.end("old"));
    else response.end("old");
  });
  await using next = await Upstream.start((_request, response) => {
    response.end("next");
  });
  await using gateway = await TestGateway.start(api(old.port));
  const underWay = gateway.ask("/api/hold");
  while (held.length === 0)
    await new Promise((resolve) => setImmediate(resolve));
  await gateway.ask("/api/fail");
  await gateway.serve(api(next.port));
  expect((await gateway.ask("/api")).text).toBe("next");
  held[0]?.();
  expect((await underWay).text).toBe("old");
  expect(gateway.gateway.serving?.revision).toBe(2n);
  expect(gateway.gateway.takeCounters()).toEqual([
    { revision: 1n, requests: 2n, errors: 1n },
    { revision: 2n, requests: 1n, errors: 0n },
  ]);
  expect(gateway.gateway.takeCounters()).toEqual([]);
});

test("while revisions are swapped, every request is served by exactly one of them", async () => {
  // Each revision has its own header towards the upstream (by the service's path) and towards the client (by a plugin).
  await using upstream = await Upstream.start((request, response) => {
    response.end(request.url);
  });
  const revision = (n: number) => [
    ...api(upstream.port, { service: { path: `/${n}` } }),
    resource("plugin", {
      id: id(3),
      name: "cors",
      route: { id: id(2) },
      config: { origins: [`http://${n}.example`] },
    }),
  ];
  await using gateway = await TestGateway.start(revision(1));
  let swapping = true;
  const swaps = (async () => {
    for (let n = 2; n < 40; n++) await gateway.serve(revision(n));
    swapping = false;
  })();
  let asked = 0;
  const clients = Array.from({ length: 4 }, async () => {
    while (swapping) {
      const answer = await gateway.ask("/api");
      asked++;
      expect(answer.headers["access-control-allow-origin"]).toBe(
        `http://${answer.text.slice(1)}.example`,
      );
    }
  });
  await Promise.all([swaps, ...clients]);
  const counted = gateway.gateway
    .takeCounters()
    .reduce((sum, { requests }) => sum + requests, 0n);
  expect(counted).toBe(BigInt(asked));
});

test("closing lets what is under way end, and closes idle connections at once", async () => {
  const held: (() => void)[] = [];
  await using upstream = await Upstream.start((_request, response) => {
    held.push(() => response.end("done"));
  });
  const gateway = await TestGateway.start(api(upstream.port), {
    graceMs: 10_000,
  });
  const silent = await RawConnection.open(gateway.host);
  const idle = await RawConnection.open(gateway.host);
  await idle.write("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  await idle.until(/\}$/);
  const busy = await RawConnection.open(gateway.host);
  await busy.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n");
  while (held.length === 0)
    await new Promise((resolve) => setImmediate(resolve));
  const closing = gateway.gateway.close();
  await Promise.all([silent.closed(), idle.closed()]);
  held[0]?.();
  expect(await busy.closed()).toMatch(/Connection: close[\s\S]*done/);
  await closing;
});

test("closing cuts off what does not end in time", async () => {
  await using upstream = await Upstream.start(() => undefined);
  const gateway = await TestGateway.start(api(upstream.port), { graceMs: 30 });
  const answer = gateway.ask("/api").catch(() => "cut off");
  while (upstream.connections === 0)
    await new Promise((resolve) => setImmediate(resolve));
  await gateway.gateway.close();
  expect(await answer).toBe("cut off");
  while (upstream.connections > 0)
    await new Promise((resolve) => setImmediate(resolve));
});

test("numbers about requests, connections and the served state go to the registry", async () => {
  const metrics = new Registry();
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start(api(upstream.port), {
    metrics,
  });
  await gateway.ask("/api");
  await gateway.ask("/nowhere");
  const text = await metrics.metrics();
  expect(text).toMatch(
    /holdfast_requests_total\{status="2xx",source="upstream",reason=""\} 1/,
  );
  expect(text).toMatch(
    /holdfast_requests_total\{status="4xx",source="gateway",reason="no-route"\} 1/,
  );
  expect(text).toMatch(/holdfast_request_duration_seconds_count 2/);
  expect(text).toMatch(/holdfast_upstream_connections\{state="idle"\} 1/);
  expect(text).toMatch(/holdfast_served_routes 1/);
});

test("an address in use is said with the address", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await using gateway = (await TestGateway.start()).gateway;
  await expect(gateway.open({ host: "127.0.0.1", port })).rejects.toThrow(
    `cannot listen on 127.0.0.1:${port}`,
  );
  server.close();
});
