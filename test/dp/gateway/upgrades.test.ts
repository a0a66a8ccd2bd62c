import { once } from "node:events";
import { createServer as createHttpServer, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { api, routePlugin } from "../../support/api.ts";
import { eventually } from "../../support/eventually.ts";
import { TestGateway } from "../../support/gateway.ts";
import { RawConnection } from "../../support/raw-http.ts";
import { SERVER_CERT, SERVER_KEY } from "../../support/tls-chain.ts";
import { Upstream } from "../../support/upstream.ts";

/** A WebSocket upstream that sends back what it gets. */
class EchoSockets implements AsyncDisposable {
  readonly #server: Server;
  readonly sockets: WebSocketServer;
  readonly headers: Readonly<Record<string, unknown>>[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.sockets = new WebSocketServer({ server });
    this.sockets.on("connection", (socket, request) => {
      this.headers.push(request.headers);
      socket.on("error", () => undefined);
      socket.on("message", (data, isBinary) => {
        socket.send(data, { binary: isBinary });
      });
    });
  }

  static async start(
    server: Server = createHttpServer(),
  ): Promise<EchoSockets> {
    const echo = new EchoSockets(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return echo;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.sockets.clients) client.terminate();
    this.#server.close();
    await once(this.#server, "close");
  }
}

async function connected(
  gateway: TestGateway,
  path = "/api",
): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}${path}`);
  socket.on("error", () => undefined);
  await once(socket, "open");
  return socket;
}

async function echoed(socket: WebSocket, text: string): Promise<string> {
  socket.send(text);
  const [data] = (await once(socket, "message")) as [Buffer];
  return data.toString("utf8");
}

/** The status that a WebSocket's handshake was refused with, and the body. */
async function refused(
  gateway: TestGateway,
  path = "/api",
): Promise<[number, string]> {
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}${path}`);
  socket.on("error", () => undefined);
  const [, response] = (await once(socket, "unexpected-response")) as [
    unknown,
    AsyncIterable<Buffer> & { statusCode: number },
  ];
  let text = "";
  for await (const chunk of response) text += chunk.toString("utf8");
  return [response.statusCode, text];
}

describe("a WebSocket", () => {
  test("passes both ways and ends when either side ends", async () => {
    await using upstream = await EchoSockets.start();
    await using gateway = await TestGateway.start(api(upstream.port));
    const first = await connected(gateway);
    expect(await echoed(first, "hello")).toBe("hello");
    expect(await echoed(first, "x".repeat(300_000))).toHaveLength(300_000);
    expect(upstream.headers[0]).toMatchObject({
      connection: "Upgrade",
      upgrade: "websocket",
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-prefix": "/api",
    });
    first.close(1000);
    expect((await once(first, "close"))[0]).toBe(1000);
    const second = await connected(gateway);
    for (const client of upstream.sockets.clients) client.terminate();
    expect((await once(second, "close"))[0]).toBe(1006);
    expect(gateway.gateway.takeCounters()).toEqual([
      { revision: 1n, requests: 2n, errors: 0n },
    ]);
  });

  test("whose client vanishes is closed upstream", async () => {
    await using upstream = await EchoSockets.start();
    await using gateway = await TestGateway.start(api(upstream.port));
    const socket = await connected(gateway);
    await echoed(socket, "x");
    socket.terminate();
    await eventually(
      () => (upstream.sockets.clients.size === 0 ? true : undefined),
      "the upstream's side closed",
    );
    expect(gateway.gateway.upstreamConnections.busy).toBe(0);
  });

  test("reaches an upstream over TLS", async () => {
    await using upstream = await EchoSockets.start(
      createHttpsServer({ cert: SERVER_CERT, key: SERVER_KEY }),
    );
    await using gateway = await TestGateway.start(
      api(upstream.port, { service: { protocol: "https" } }),
    );
    const socket = await connected(gateway);
    expect(await echoed(socket, "over TLS")).toBe("over TLS");
    socket.close();
    await once(socket, "close");
  });

  test("that is refused upstream is refused here, with headers and a chunked body as an answer should have them", async () => {
    await using upstream = await Upstream.start();
    await using gateway = await TestGateway.start(api(upstream.port));
    const [status, text] = await refused(gateway);
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({ upstream: true });
  });

  test.each([
    ["no route", "/nowhere", 404],
    ["no upstream", "/api", 503],
  ])("with %s is answered", async (_what, path, status) => {
    await using gateway = await TestGateway.start(api(1));
    const [got, text] = await refused(gateway, path);
    expect(got).toBe(status);
    expect(JSON.parse(text)).toHaveProperty("request_id");
  });

  test("without a key is answered 401 by the plugin", async () => {
    await using upstream = await EchoSockets.start();
    await using gateway = await TestGateway.start([
      ...api(upstream.port),
      routePlugin(3, "key-auth"),
    ]);
    expect((await refused(gateway))[0]).toBe(401);
    expect(upstream.headers).toEqual([]);
  });

  test("with bytes right behind the handshake loses none", async () => {
    const got: Buffer[] = [];
    const server = createHttpServer();
    server.on("upgrade", (_request, socket: Duplex, head: Buffer) => {
      got.push(head);
      socket.on("data", (chunk: Buffer) => got.push(chunk));
      socket.on("error", () => undefined);
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
      );
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    await using gateway = await TestGateway.start(
      api((server.address() as AddressInfo).port),
    );
    const raw = await RawConnection.open(gateway.host);
    await raw.write(
      "GET /api HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly",
    );
    expect(await raw.until(/hello$/)).toMatch(
      /^HTTP\/1\.1 101 [\s\S]*X-Holdfast-Request-Id: /,
    );
    await eventually(
      () => (Buffer.concat(got).toString() === "early" ? true : undefined),
      "the early bytes",
    );
    raw.socket.destroy();
    server.close();
  });

  test("that is silent for the read timeout is closed", async () => {
    await using upstream = await EchoSockets.start();
    await using gateway = await TestGateway.start(
      api(upstream.port, { service: { readTimeout: 100 } }),
    );
    const socket = await connected(gateway);
    expect((await once(socket, "close"))[0]).toBe(1006);
  });

  test("does not keep the revision that it was made with", async () => {
    setFlagsFromString("--expose_gc");
    const collect = runInNewContext("gc") as () => void;
    await using upstream = await EchoSockets.start();
    await using gateway = await TestGateway.start();
    const state = [
      ...api(upstream.port),
      routePlugin(3, "correlation-id", { echo_downstream: true }),
    ];
    const old = new WeakRef(await gateway.serve(state));
    const sockets = [await connected(gateway), await connected(gateway)];
    await gateway.serve([]);
    await eventually(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
      return old.deref() === undefined ? true : undefined;
    }, "the old revision is let go");
    for (const socket of sockets)
      expect(await echoed(socket, "still")).toBe("still");
    for (const socket of sockets) socket.terminate();
  });

  test("is cut when the gateway closes", async () => {
    await using upstream = await EchoSockets.start();
    const gateway = await TestGateway.start(api(upstream.port), {
      graceMs: 20,
    });
    const socket = await connected(gateway);
    await Promise.all([once(socket, "close"), gateway.gateway.close()]);
    await eventually(
      () => (upstream.sockets.clients.size === 0 ? true : undefined),
      "the upstream's side closed",
    );
  });
});

test("a long answer does not keep the revision that it was made with", async () => {
  setFlagsFromString("--expose_gc");
  const collect = runInNewContext("gc") as () => void;
  let end = (): unknown => undefined;
  await using upstream = await Upstream.start((_request, response) => {
    response.write("begun");
    end = () => response.end();
  });
  await using gateway = await TestGateway.start();
  const old = new WeakRef(
    await gateway.serve([
      ...api(upstream.port),
      routePlugin(3, "correlation-id", { echo_downstream: true }),
    ]),
  );
  const raw = await RawConnection.open(gateway.host);
  await raw.write("GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await raw.until(/begun/);
  await gateway.serve([]);
  await eventually(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    return old.deref() === undefined ? true : undefined;
  }, "the old revision is let go");
  end();
  await raw.closed();
  expect(gateway.gateway.takeCounters()).toMatchObject([
    { revision: 2n, requests: 1n },
  ]);
});

describe("a wish to upgrade to something else is passed over", () => {
  test.each([
    [
      "without a body",
      "GET /api HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    ],
    [
      "with a body",
      "POST /api HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
    ],
    [
      "with a chunked body",
      "POST /api HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: x, Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
  ])("%s, and the connection serves on", async (_what, bytes) => {
    await using upstream = await Upstream.start((request, response) => {
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => (body += text));
      request.on("end", () =>
        response.end(
          `[${request.method} ${body} ${request.headers.upgrade ?? "-"}]`,
        ),
      );
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    const raw = await RawConnection.open(gateway.host);
    const half = Math.floor(bytes.length / 2);
    await raw.write(bytes.slice(0, half), bytes.slice(half));
    const body = bytes.startsWith("POST") ? "hello" : "";
    await raw.until(new RegExp(`\\[(GET|POST) ${body} -\\]`));
    await raw.write(
      "GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    expect((await raw.closed()).match(/HTTP\/1\.1 200 /g)).toHaveLength(2);
    expect(gateway.gateway.takeCounters()).toMatchObject([{ requests: 2n }]);
  });
});
