import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { api, routePlugin } from "../../../support/api.ts";
import { eventually } from "../../../support/eventually.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { RawConnection } from "../../../support/raw-http.ts";
import { id, resource } from "../../../support/resources.ts";
import { TempDir } from "../../../support/temp-dir.ts";
import { Upstream } from "../../../support/upstream.ts";

type Line = Readonly<Record<string, unknown>>;

/** The lines of a log, once there are so many. */
async function lines(path: string, count: number): Promise<Line[]> {
  return eventually(async () => {
    const text = await readFile(path, "utf8");
    const found = text.split("\n").slice(0, -1);
    if (found.length < count) return undefined;
    return found.map((line) => JSON.parse(line) as Line);
  }, `${count} lines`);
}

describe("the access log", () => {
  test("has a line for each request, with all that is known of it", async () => {
    await using dir = await TempDir.make();
    const accessLog = join(dir.path, "access.log");
    await using upstream = await Upstream.start();
    await using gateway = await TestGateway.start(
      [
        ...api(upstream.port, { service: { path: "/base" } }),
        resource("consumer", { id: id(5), username: "ada" }),
        resource("keyauthCredential", {
          id: id(6),
          consumer: { id: id(5) },
          key: "secret",
        }),
        routePlugin(7, "key-auth"),
      ],
      { accessLog },
    );
    const answer = await gateway.ask("/api/x?q=1", {
      method: "POST",
      body: "hello",
      headers: {
        host: "Shop.example:81",
        "user-agent": "probe",
        apikey: "secret",
      },
    });
    expect(answer.status).toBe(200);
    const missing = await gateway.ask("/nowhere");
    const [found, lost] = await lines(accessLog, 2);
    expect(found).toEqual({
      event: "request",
      time: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      request_id: answer.headers["x-holdfast-request-id"],
      client_ip: "127.0.0.1",
      method: "POST",
      scheme: "http",
      host: "Shop.example:81",
      uri: "/api/x?q=1",
      http_version: "1.1",
      user_agent: "probe",
      status: 200,
      source: "upstream",
      reason: "",
      bytes_received: 5,
      bytes_sent: Buffer.byteLength(answer.text),
      request_ms: expect.any(Number) as number,
      gateway_ms: expect.any(Number) as number,
      upstream_ms: expect.any(Number) as number,
      revision: "1",
      route: { id: id(2), name: "route" },
      service: { id: id(1), name: "service" },
      consumer: { id: id(5), username: "ada" },
      targets: [`127.0.0.1:${upstream.port}`],
      upstream_status: 200,
      upstream_uri: "/base/x?q=1",
    });
    expect(Date.now() - Date.parse(String(found?.["time"]))).toBeLessThan(
      60_000,
    );
    expect(lost).toMatchObject({
      status: 404,
      source: "gateway",
      reason: "no-route",
      bytes_sent: Buffer.byteLength(missing.text),
      upstream_ms: -1,
      route: null,
      service: null,
      consumer: null,
      targets: [],
      upstream_status: null,
    });
  });

  test("changes nothing of what it counts", async () => {
    await using dir = await TempDir.make();
    const accessLog = join(dir.path, "access.log");
    const bodies = [10, 100_000].map((length) =>
      Buffer.from(Array.from({ length }, (_, i) => i % 256)),
    );
    await using upstream = await Upstream.start((request, response) => {
      response.end(bodies[Number(request.url?.slice(1))]);
    });
    await using gateway = await TestGateway.start(api(upstream.port), {
      accessLog,
    });
    for (const [i, body] of bodies.entries()) {
      const answer = await fetch(`http://127.0.0.1:${gateway.port}/api/${i}`);
      expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true);
    }
    expect(
      (await lines(accessLog, 2)).map(({ bytes_sent }) => bytes_sent),
    ).toEqual(bodies.map(({ length }) => length));
  });

  test("has the targets in the order in which they were tried, and why it came to nothing", async () => {
    await using dir = await TempDir.make();
    const accessLog = join(dir.path, "access.log");
    await using gateway = await TestGateway.start(
      [
        ...api(1, { service: { host: "pool", port: 80, retries: 1 } }),
        resource("upstream", { id: id(3), name: "pool" }),
        ...[1, 2].map((port) =>
          resource("target", {
            id: id(3 + port),
            upstream: { id: id(3) },
            target: `127.0.0.1:${port}`,
          }),
        ),
      ],
      { accessLog },
    );
    expect((await gateway.ask("/api")).status).toBe(503);
    const [line] = await lines(accessLog, 1);
    expect(line).toMatchObject({
      status: 503,
      source: "gateway",
      reason: "unreachable",
      upstream_status: null,
    });
    expect(new Set(line?.["targets"] as string[])).toEqual(
      new Set(["127.0.0.1:1", "127.0.0.1:2"]),
    );
  });

  test.each([
    ["which the gateway refuses", "GET / HTTP/1.1\r\n\r\n", 400, "bad-request"],
    [
      "whose method it does not pass on",
      "TRACE /api HTTP/1.1\r\nHost: a\r\n\r\n",
      405,
      "method-not-allowed",
    ],
    [
      "whose URI is too long",
      `GET /api?${"x".repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      414,
      "uri-too-long",
    ],
    [
      "that expect what is not given",
      "GET /api HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n",
      417,
      "expectation",
    ],
  ])("has requests %s", async (_name, bytes, status, reason) => {
    await using dir = await TempDir.make();
    const accessLog = join(dir.path, "access.log");
    await using gateway = await TestGateway.start(api(1), { accessLog });
    const raw = await RawConnection.open(gateway.host);
    await raw.write(bytes);
    await raw.until(new RegExp(`^HTTP/1.1 ${status} `));
    raw.socket.destroy();
    expect(await lines(accessLog, 1)).toMatchObject([{ status, reason }]);
  });

  test("tells a client that left from an upstream that did", async () => {
    await using dir = await TempDir.make();
    const accessLog = join(dir.path, "access.log");
    const metrics = new Registry();
    await using upstream = await Upstream.start((request, response) => {
      if (request.url === "/silent") return;
      response.writeHead(200, { "content-length": 100 });
      response.write("some");
      if (request.url === "/broken")
        setImmediate(() => request.socket.destroy());
    });
    await using gateway = await TestGateway.start(api(upstream.port), {
      accessLog,
      metrics,
    });
    const leave = async (path: string, after: RegExp): Promise<void> => {
      const raw = await RawConnection.open(gateway.host);
      await raw.write(`GET /api/${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      if (after.source !== "none") await raw.until(after);
      else
        await eventually(
          () => (upstream.connections === 1 ? true : undefined),
          "a connection upstream",
        );
      raw.socket.destroy();
    };
    await leave("silent", /none/);
    await lines(accessLog, 1);
    await leave("half", /some/);
    await lines(accessLog, 2);
    await leave("broken", /some/);
    const seen = (await lines(accessLog, 3)).map(
      ({ status, source, reason, bytes_sent }) => [
        status,
        source,
        reason,
        bytes_sent,
      ],
    );
    expect(seen).toEqual([
      [499, "gateway", "client-gone", 0],
      [200, "upstream", "client-gone", 4],
      [200, "upstream", "broken-off", 4],
    ]);
    expect(await metrics.metrics()).toContain(
      'holdfast_requests_total{status="2xx",source="upstream",reason="broken-off"} 1',
    );
  });

  test("goes on in a new file when the old one was moved away", async () => {
    await using dir = await TempDir.make();
    const accessLog = join(dir.path, "access.log");
    const gateway = await TestGateway.start([], { accessLog });
    await gateway.ask("/first");
    await lines(accessLog, 1);
    await rename(accessLog, `${accessLog}.1`);
    await gateway.ask("/second");
    await lines(`${accessLog}.1`, 2);
    gateway.gateway.reopenLogs();
    await lines(accessLog, 0);
    await gateway.ask("/third");
    await gateway.gateway.close();
    // What was not written yet was, before it closed.
    expect(await lines(accessLog, 0)).toMatchObject([{ uri: "/third" }]);
  });

  test("that cannot be opened is told before anything listens", async () => {
    await expect(
      TestGateway.start([], { accessLog: "/nowhere/at/all/access.log" }),
    ).rejects.toThrow(/the access log "\/nowhere.*cannot be opened.*ENOENT/);
  });
});
