import { once } from "node:events";
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from "node:net";
import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { Prepared } from "../../../src/dp/gateway/states.ts";
import { api, routePlugin } from "../../support/api.ts";
import { eventually } from "../../support/eventually.ts";
import { TestGateway } from "../../support/gateway.ts";
import { RawConnection } from "../../support/raw-http.ts";
import { Upstream } from "../../support/upstream.ts";

/** An upstream that is given each request's head and answers with bytes. */
class Scripted implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  accepted = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(
    answer: (head: string, socket: Socket) => void,
  ): Promise<Scripted> {
    const server = createTcpServer();
    const scripted = new Scripted(server);
    server.on("connection", (socket) => {
      scripted.accepted++;
      scripted.#sockets.add(socket);
      socket.on("close", () => scripted.#sockets.delete(socket));
      socket.on("error", () => undefined);
      let text = "";
      socket.setEncoding("latin1").on("data", (piece: string) => {
        text += piece;
        for (
          let end = text.indexOf("\r\n\r\n");
          end >= 0;
          end = text.indexOf("\r\n\r\n")
        ) {
          const head = text.slice(0, end);
          text = text.slice(end + 4);
          answer(head, socket);
        }
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return scripted;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get open(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

async function nothingLeaks(gateway: TestGateway): Promise<void> {
  await eventually(
    () => (gateway.gateway.upstreamConnections.busy === 0 ? true : undefined),
    "no busy connection to an upstream",
  );
}

function path(head: string): string {
  return head.split(" ")[1] ?? "";
}

describe("an upstream that", () => {
  test("gives hints before its answer has only the answer passed on", async () => {
    await using upstream = await Scripted.start((_head, socket) =>
      socket.write(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      ),
    );
    await using gateway = await TestGateway.start(api(upstream.port));
    const raw = await RawConnection.open(gateway.host);
    await raw.write(
      "GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    const text = await raw.closed();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).not.toContain("103");
    expect(text.endsWith("\r\n\r\nok")).toBe(true);
    await nothingLeaks(gateway);
  });

  test.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
    ["GET", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"],
    ["GET", "HTTP/1.1 304 Not Modified\r\n\r\nhello"],
  ])(
    "sends a body where there is none (%s, %j) has it taken for nobody's answer",
    async (method, bytes) => {
      await using upstream = await Scripted.start((head, socket) =>
        socket.write(
          path(head) === "/odd"
            ? bytes
            : "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine",
        ),
      );
      await using gateway = await TestGateway.start(api(upstream.port));
      for (let i = 0; i < 3; i++) {
        const odd = await gateway.ask("/api/odd", { method });
        expect(odd.text).toBe("");
        const next = await gateway.ask("/api/next");
        expect([next.status, next.text]).toEqual([200, "mine"]);
      }
      await nothingLeaks(gateway);
    },
  );

  test("sends a second answer has it taken for nobody's", async () => {
    await using upstream = await Scripted.start((head, socket) =>
      socket.write(
        `HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n${path(head).slice(1, 5)}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged`,
      ),
    );
    await using gateway = await TestGateway.start(api(upstream.port));
    for (const word of ["pear", "plum", "figs"])
      expect((await gateway.ask(`/api/${word}`)).text).toBe(word);
    await nothingLeaks(gateway);
  });

  test("has more headers than anybody needs is answered for", async () => {
    await using upstream = await Scripted.start((_head, socket) =>
      socket.write(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(100_000)}\r\n\r\n`),
    );
    await using gateway = await TestGateway.start(api(upstream.port));
    expect((await gateway.ask("/api")).status).toBe(502);
    await nothingLeaks(gateway);
    await eventually(
      () => (upstream.open === 0 ? true : undefined),
      "its connection is closed",
    );
  });

  test("sends event after event has each passed on when it comes", async () => {
    let send: (text: string) => unknown = () => undefined;
    let end = (): unknown => undefined;
    await using upstream = await Upstream.start((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      send = (text) => response.write(text);
      end = () => response.end();
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    const raw = await RawConnection.open(gateway.host);
    await raw.write(
      "GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    await raw.until(/text\/event-stream[\s\S]*\r\n\r\n/);
    send("data: one\n\n");
    await raw.until(/data: one/);
    send("data: two\n\n");
    await raw.until(/data: two/);
    end();
    await raw.closed();
  });

  test("closes an idle connection is asked over another one, also for a POST", async () => {
    await using upstream = await Scripted.start((_head, socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      setImmediate(() => socket.end());
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    for (let i = 1; i <= 3; i++) {
      expect((await gateway.ask("/api", { method: "POST" })).text).toBe("ok");
      await eventually(
        () =>
          gateway.gateway.upstreamConnections.open === 0 ? true : undefined,
        "the closed connection is forgotten",
      );
      expect(upstream.accepted).toBe(i);
    }
  });
});

test("an upstream that answers before it has the request is asked nothing else over that connection", async () => {
  const heads: string[] = [];
  await using upstream = await Scripted.start((head, socket) => {
    heads.push(head.split("\r\n", 1)[0] ?? "");
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
  });
  await using gateway = await TestGateway.start(api(upstream.port));
  const raw = await RawConnection.open(gateway.host);
  await raw.write(
    "POST /api/first HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf of it",
  );
  await raw.until(/early$/);
  expect((await gateway.ask("/api/next")).text).toBe("early");
  // It would have been taken for more of the first one's body.
  expect(heads).toEqual(["POST /first HTTP/1.1", "GET /next HTTP/1.1"]);
  expect(upstream.accepted).toBe(2);
  raw.socket.destroy();
  await nothingLeaks(gateway);
});

test("a slow reader slows the upstream down, and nobody else", async () => {
  const chunk = Buffer.alloc(64 * 1024, "x");
  const readers = 5;
  const chunksEach = 1024;
  let written = 0;
  await using upstream = await Upstream.start((request, response) => {
    if (request.url === "/quick") {
      response.end("quick");
      return;
    }
    let left = chunksEach;
    const more = (): void => {
      while (left > 0) {
        left--;
        written += chunk.length;
        if (!response.write(chunk)) return;
      }
      response.end();
    };
    response.on("drain", more);
    more();
  });
  await using gateway = await TestGateway.start(api(upstream.port));
  const slow = await Promise.all(
    Array.from({ length: readers }, () => RawConnection.open(gateway.host)),
  );
  for (const { socket } of slow) socket.pause();
  for (const raw of slow)
    await raw.write("GET /api/large HTTP/1.1\r\nHost: a\r\n\r\n");
  let before = -1;
  // It stops: answers of 64 MB each wait in nobody's memory, but for what the system's sockets take.
  await eventually(async () => {
    const still = written === before;
    before = written;
    await gateway.ask("/api/quick");
    return still && written > 0 ? true : undefined;
  }, "the upstream waits");
  expect(written).toBeLessThan((readers * chunksEach * chunk.length) / 2);
  expect((await gateway.ask("/api/quick")).text).toBe("quick");
  for (const { socket } of slow) socket.destroy();
  await nothingLeaks(gateway);
});

test("a hundred WebSockets live through ten thousand swaps", async () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  server.on("connection", (socket) => {
    socket.on("error", () => undefined);
    socket.on("message", (data) => {
      socket.send(data);
    });
  });
  const { port } = server.address() as AddressInfo;
  await using gateway = await TestGateway.start(api(port));
  const sockets = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/api`);
      socket.on("error", () => undefined);
      await once(socket, "open");
      return socket;
    }),
  );
  // Every twentieth is another than all before it; between these the last two take turns, which costs next to nothing.
  let states: readonly Prepared[] = [];
  for (let i = 0; i < 10_000; i++) {
    if (i % 20 === 0) {
      const tags = [`of-${i}`];
      const next = await gateway.serve(
        i % 3 === 0 ? [] : api(port, { route: { tags, paths: [`/p${i}`] } }),
      );
      states = [next, ...states.slice(0, 1)];
    }
    const state = states[i % states.length];
    if (state !== undefined) gateway.gateway.commit(state);
    if (i % 1_000 !== 0) continue;
    const [socket] = sockets.splice(0, 1);
    if (socket === undefined) continue;
    socket.send(`at ${i}`);
    const [data] = (await once(socket, "message")) as [Buffer];
    expect(data.toString()).toBe(`at ${i}`);
    sockets.push(socket);
  }
  for (const socket of sockets) socket.send("still");
  for (const socket of sockets) {
    const [data] = (await once(socket, "message")) as [Buffer];
    expect(data.toString()).toBe("still");
  }
  for (const socket of sockets) socket.terminate();
  await eventually(
    () => (server.clients.size === 0 ? true : undefined),
    "the upstream's sides are closed",
  );
  server.close();
});

test("every outcome is counted with why it came about", async () => {
  const metrics = new Registry();
  await using upstream = await Scripted.start((head, socket) => {
    switch (path(head)) {
      case "/silent":
        break;
      case "/garbage":
        socket.write("hello\r\n");
        break;
      case "/reset":
        socket.resetAndDestroy();
        break;
      default:
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
  });
  await using gateway = await TestGateway.start(
    api(upstream.port, { service: { readTimeout: 50 } }),
    { metrics },
  );
  const statuses: number[] = [];
  for (const one of ["fine", "silent", "garbage", "reset"])
    statuses.push((await gateway.ask(`/api/${one}`)).status);
  statuses.push((await gateway.ask("/nowhere")).status);
  expect(statuses).toEqual([200, 504, 502, 502, 404]);
  const text = await eventually(async () => {
    const now = await metrics.metrics();
    return now.includes("request_duration_seconds_count 5") ? now : undefined;
  }, "all are counted");
  const counted = [
    ...text.matchAll(/^holdfast_requests_total\{(.*)\} (\d+)$/gm),
  ]
    .map(([, labels = "", count]) => {
      const reason = /reason="([^"]*)"/.exec(labels)?.[1];
      const status = /status="([^"]*)"/.exec(labels)?.[1];
      return `${status} ${reason} ${count}`;
    })
    .sort();
  expect(counted).toEqual([
    "2xx  1",
    "4xx no-route 1",
    "5xx bad-response 2",
    "5xx timed-out 1",
  ]);
});

test("an answer that breaks in the packet it begins in, before a plugin that wants all of it, is answered 502 or broken off, never left open", async () => {
  await using upstream = await Scripted.start((_head, socket) => {
    socket.write(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    );
  });
  for (const plugins of [
    [],
    [routePlugin(3, "response-transformer", { remove: { json: ["a"] } })],
  ]) {
    await using gateway = await TestGateway.start([
      ...api(upstream.port),
      ...plugins,
    ]);
    const client = await RawConnection.open(gateway.host);
    await client.write(
      "GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    await once(client.socket, "close");
    expect(client.received).not.toMatch(/0\r\n\r\n$/);
    if (plugins.length > 0) expect(client.received).toMatch(/^HTTP\/1.1 502 /);
  }
});
