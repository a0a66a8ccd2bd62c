import { once } from "node:events";
import { request as httpRequest } from "node:http";
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from "node:net";
import { describe, expect, test } from "vitest";
import { api } from "../../support/api.ts";
import { deadPort } from "../../support/dead-port.ts";
import { eventually } from "../../support/eventually.ts";
import { TestGateway } from "../../support/gateway.ts";
import { RawConnection } from "../../support/raw-http.ts";
import { Upstream } from "../../support/upstream.ts";

/** An upstream that speaks bytes. */
class RawUpstream implements AsyncDisposable {
  readonly #server: Server;
  readonly sockets = new Set<Socket>();
  accepted = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(serve: (socket: Socket) => void): Promise<RawUpstream> {
    const server = createTcpServer();
    const upstream = new RawUpstream(server);
    server.on("connection", (socket) => {
      upstream.accepted++;
      upstream.sockets.add(socket);
      socket.on("close", () => upstream.sockets.delete(socket));
      socket.on("error", () => undefined);
      serve(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return upstream;
  }

  /** Answers each request's first bytes with these. */
  static answering(
    text: string,
    then: (socket: Socket) => void = () => undefined,
  ): Promise<RawUpstream> {
    return RawUpstream.start((socket) =>
      socket.once("data", () => {
        socket.write(text, () => then(socket));
      }),
    );
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** No connection to an upstream serves a request any more. */
async function nothingLeaks(gateway: TestGateway): Promise<void> {
  await eventually(
    () => (gateway.gateway.upstreamConnections.busy === 0 ? true : undefined),
    "no busy connection to an upstream",
  );
}

describe("clear answers for an upstream that", () => {
  test("is dead", async () => {
    await using gateway = await TestGateway.start(api(await deadPort()));
    const answer = await gateway.ask("/api", { method: "POST", body: "x" });
    expect([answer.status, answer.json()["message"]]).toEqual([
      503,
      "The upstream server is currently unavailable",
    ]);
    expect(answer.json()["request_id"]).toBe(
      answer.headers["x-holdfast-request-id"],
    );
    await nothingLeaks(gateway);
  });

  test("has no address", async () => {
    await using gateway = await TestGateway.start(
      api(80, { service: { host: "no-such-host.invalid", retries: 0 } }),
    );
    const answer = await gateway.ask("/api");
    // Where there is no name server at all it is that which failed.
    expect([
      [503, "name resolution failed"],
      [500, "An unexpected error occurred"],
    ]).toContainEqual([answer.status, answer.json()["message"]]);
  });

  test("never answers", async () => {
    await using upstream = await RawUpstream.start(
      (socket) => void socket.resume(),
    );
    await using gateway = await TestGateway.start(
      api(upstream.port, { service: { readTimeout: 50 } }),
    );
    const answer = await gateway.ask("/api");
    expect([answer.status, answer.json()["message"]]).toEqual([
      504,
      "The upstream server is timing out",
    ]);
    // Reading is not connecting: nothing is tried again.
    expect(upstream.accepted).toBe(1);
    await nothingLeaks(gateway);
    await eventually(
      () => (upstream.sockets.size === 0 ? true : undefined),
      "the upstream's sockets closed",
    );
  });

  test("does not take the request", async () => {
    await using upstream = await RawUpstream.start((socket) => socket.pause());
    await using gateway = await TestGateway.start(
      api(upstream.port, { service: { writeTimeout: 50 } }),
    );
    const answer = await gateway.ask("/api", {
      method: "POST",
      body: Buffer.alloc(20_000_000),
    });
    expect(answer.status).toBe(504);
    await nothingLeaks(gateway);
  });

  test("does not accept the connection", async () => {
    // One that is in the backlog of a server that accepts nobody: TLS never begins.
    await using upstream = await RawUpstream.start(() => undefined);
    await using gateway = await TestGateway.start(
      api(upstream.port, {
        service: { protocol: "https", connectTimeout: 50, retries: 1 },
      }),
    );
    const answer = await gateway.ask("/api");
    expect(answer.status).toBe(504);
    await eventually(
      () => (upstream.accepted === 2 ? true : undefined),
      "two attempts",
    );
    await nothingLeaks(gateway);
  });

  test.each([
    ["closes at once", (socket: Socket) => socket.end()],
    [
      "resets at once",
      (socket: Socket) => socket.once("data", () => socket.resetAndDestroy()),
    ],
    [
      "closes after the request",
      (socket: Socket) => socket.once("data", () => socket.end()),
    ],
    [
      "speaks something else",
      (socket: Socket) => socket.end("SSH-2.0-hello\r\n"),
    ],
    [
      "breaks its headers off",
      (socket: Socket) =>
        socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nX: ")),
    ],
    [
      "has a transfer coding that nobody asked for",
      (socket: Socket) =>
        socket.once("data", () =>
          socket.end(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
          ),
        ),
    ],
    [
      "switches protocols unasked",
      (socket: Socket) =>
        socket.once("data", () =>
          socket.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
          ),
        ),
    ],
    [
      "has a status that is none",
      (socket: Socket) =>
        socket.once("data", () =>
          socket.end("HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"),
        ),
    ],
  ])("%s", async (_what, serve) => {
    await using upstream = await RawUpstream.start(
      (socket) => void serve(socket),
    );
    await using gateway = await TestGateway.start(api(upstream.port));
    const answer = await gateway.ask("/api", { method: "POST", body: "once" });
    expect([answer.status, answer.json()["message"]]).toEqual([
      502,
      "An invalid response was received from the upstream server",
    ]);
    expect(upstream.accepted).toBe(1);
    await nothingLeaks(gateway);
  });
});

describe("an upstream that breaks off in the middle of its body", () => {
  test.each([
    [
      "with a length, by closing",
      "Content-Length: 1000\r\n\r\nhello",
      (s: Socket) => s.end(),
    ],
    [
      "with a length, by a reset",
      "Content-Length: 1000\r\n\r\nhello",
      (s: Socket) => s.resetAndDestroy(),
    ],
    [
      "with chunks, by closing",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      (s: Socket) => s.end(),
    ],
    [
      "with chunks that make no sense",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
      () => undefined,
    ],
  ])("%s: the client's answer breaks off too", async (_what, text, then) => {
    await using upstream = await RawUpstream.answering(
      `HTTP/1.1 200 OK\r\n${text}`,
      (s) => void then(s),
    );
    await using gateway = await TestGateway.start(api(upstream.port));
    await expect(gateway.ask("/api")).rejects.toThrow(
      /aborted|hang up|ECONNRESET/,
    );
    await nothingLeaks(gateway);
  });

  test("by silence, after the read timeout", async () => {
    await using upstream = await RawUpstream.answering(
      "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello",
    );
    await using gateway = await TestGateway.start(
      api(upstream.port, { service: { readTimeout: 50 } }),
    );
    await expect(gateway.ask("/api")).rejects.toThrow(
      /aborted|hang up|ECONNRESET/,
    );
    await nothingLeaks(gateway);
    const counted = await eventually(() => {
      const counters = gateway.gateway.takeCounters();
      return counters.length > 0 ? counters : undefined;
    }, "the request is counted");
    expect(counted).toEqual([{ revision: 1n, requests: 1n, errors: 0n }]);
  });

  test("without length or chunks the end is the end", async () => {
    await using upstream = await RawUpstream.answering(
      "HTTP/1.1 200 OK\r\n\r\nhello",
      (s) => s.end(),
    );
    await using gateway = await TestGateway.start(api(upstream.port));
    expect((await gateway.ask("/api")).text).toBe("hello");
  });
});

test("a read timeout is between two reads, not for the whole answer", async () => {
  await using upstream = await Upstream.start((_request, response) => {
    let left = 6;
    const timer = setInterval(() => {
      response.write("x");
      if (--left > 0) return;
      clearInterval(timer);
      response.end();
    }, 40);
  });
  await using gateway = await TestGateway.start(
    api(upstream.port, { service: { readTimeout: 150 } }),
  );
  expect((await gateway.ask("/api")).text).toBe("xxxxxx");
});

describe("a client that leaves", () => {
  test.each(["/api/never", "/api/slow"])(
    "during %s: the upstream's side is closed, and nothing leaks",
    async (path) => {
      let gone = 0;
      await using upstream = await Upstream.start((request, response) => {
        response.on("close", () => gone++);
        if (request.url === "/slow") response.write("part");
      });
      await using gateway = await TestGateway.start(api(upstream.port));
      for (let i = 0; i < 10; i++) {
        const request = httpRequest({
          host: "127.0.0.1",
          port: gateway.port,
          path,
          agent: false,
        });
        request.on("error", () => undefined);
        request.end();
        if (path === "/api/slow") await once(request, "response");
        else
          await eventually(
            () => (upstream.connections > 0 ? true : undefined),
            "the upstream is asked",
          );
        request.destroy();
        await eventually(
          () => (gone === i + 1 ? true : undefined),
          "the upstream hears of it",
        );
      }
      await nothingLeaks(gateway);
      await eventually(
        () => (upstream.connections === 0 ? true : undefined),
        "no connection is open",
      );
      expect(gateway.gateway.takeCounters()).toEqual([
        { revision: 1n, requests: 10n, errors: 0n },
      ]);
    },
  );

  test("in the middle of its body: the upstream's request breaks off", async () => {
    let broken = 0;
    await using upstream = await Upstream.start((request) => {
      request.on("error", () => undefined);
      request.on("close", () => (request.complete ? 0 : broken++));
      request.resume();
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    const raw = await RawConnection.open(gateway.host);
    await raw.write(
      "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello",
    );
    await eventually(
      () => (upstream.connections > 0 ? true : undefined),
      "the upstream is asked",
    );
    raw.socket.resetAndDestroy();
    await eventually(
      () => (broken === 1 ? true : undefined),
      "the upstream hears of it",
    );
    await nothingLeaks(gateway);
  });

  test("while its request is tried again and again: the trying ends", async () => {
    await using upstream = await RawUpstream.start(
      (socket) => void socket.resume(),
    );
    await using gateway = await TestGateway.start(
      api(upstream.port, {
        service: { protocol: "https", connectTimeout: 30, retries: 30_000 },
      }),
    );
    const raw = await RawConnection.open(gateway.host);
    await raw.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n");
    await eventually(
      () => (upstream.accepted >= 3 ? true : undefined),
      "three attempts",
    );
    raw.socket.destroy();
    await eventually(
      () => (gateway.gateway.takeCounters().length > 0 ? true : undefined),
      "the request is over",
    );
    await nothingLeaks(gateway);
    const { accepted } = upstream;
    await eventually(
      () => (upstream.sockets.size === 0 ? true : undefined),
      "no socket is open",
    );
    expect(upstream.accepted).toBeLessThanOrEqual(accepted + 1);
  });
});

/** The rest of a body, longer than what is read ahead of whoever wants it. */
const REST = "r".repeat(300_000);
const HALF_SENT = `Host: a\r\nContent-Length: ${REST.length + 5}\r\n\r\n01234`;

test("an upstream that answers before it has the body does not spoil the client's connection", async () => {
  await using upstream = await RawUpstream.answering(
    "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig",
    (s) => s.end(),
  );
  await using gateway = await TestGateway.start(api(upstream.port));
  const raw = await RawConnection.open(gateway.host);
  await raw.write(`POST /api HTTP/1.1\r\n${HALF_SENT}`);
  await raw.until(/^HTTP\/1\.1 413 [\s\S]*big$/);
  await raw.write(
    REST,
    "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
  );
  expect(await raw.closed()).toMatch(/big[\s\S]*HTTP\/1\.1 404 /);
  await nothingLeaks(gateway);
});

test("an answer of the gateway's own to a request with a body does not spoil the connection either", async () => {
  await using gateway = await TestGateway.start();
  const raw = await RawConnection.open(gateway.host);
  await raw.write(`POST /x HTTP/1.1\r\n${HALF_SENT}`);
  await raw.until(/^HTTP\/1\.1 404 [\s\S]*\}$/);
  await raw.write(
    REST,
    "GET /y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
  );
  expect((await raw.closed()).match(/HTTP\/1\.1 404 /g)).toHaveLength(2);
});

test("a kept connection that the upstream closes just when it is used: what may be asked twice is asked twice", async () => {
  let connections = 0;
  await using upstream = await RawUpstream.start((socket) => {
    const kept = ++connections === 1;
    let requests = 0;
    socket.on("data", () => {
      // The first connection answers once and dies on its second request.
      if (kept && ++requests === 2) socket.resetAndDestroy();
      else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
  });
  await using gateway = await TestGateway.start(api(upstream.port));
  expect((await gateway.ask("/api")).text).toBe("ok");
  expect((await gateway.ask("/api")).text).toBe("ok");
  expect(connections).toBe(2);
});

test.each([
  ["a POST", { method: "POST" }],
  ["a PUT whose body has begun to go", { method: "PUT", body: "once" }],
])("%s is never sent twice", async (_what, options) => {
  let requests = 0;
  await using upstream = await RawUpstream.start((socket) => {
    socket.on("data", () => {
      if (++requests === 1)
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      else socket.resetAndDestroy();
    });
  });
  await using gateway = await TestGateway.start(api(upstream.port));
  await gateway.ask("/api");
  expect((await gateway.ask("/api", options)).status).toBe(502);
  expect(requests).toBe(2);
});

test("connecting is tried as often as the service says, not more", async () => {
  await using upstream = await RawUpstream.start(() => undefined);
  await using gateway = await TestGateway.start(
    api(upstream.port, {
      service: { protocol: "https", connectTimeout: 20, retries: 3 },
    }),
  );
  expect((await gateway.ask("/api")).status).toBe(504);
  await eventually(
    () => (upstream.accepted === 4 ? true : undefined),
    "four attempts",
  );
  await nothingLeaks(gateway);
  expect(upstream.accepted).toBe(4);
});

test("services that fail are told once, not with every request", async () => {
  const lines: string[] = [];
  const note = (level: string) => (event: string) =>
    lines.push(`${level} ${event}`);
  const logger = {
    debug: note("debug"),
    info: note("info"),
    warn: note("warn"),
    error: note("error"),
    child: () => logger,
  };
  let works = false;
  await using upstream = await Upstream.start((request, response) => {
    if (works) response.end();
    else request.socket.destroy();
  });
  await using gateway = await TestGateway.start(api(upstream.port), {
    logger,
  });
  for (let i = 0; i < 11; i++) await gateway.ask("/api");
  works = true;
  for (let i = 0; i < 2; i++) await gateway.ask("/api");
  expect(lines).toEqual([
    "warn upstream.failing",
    "error upstream.failing",
    "info upstream.recovered",
  ]);
});
