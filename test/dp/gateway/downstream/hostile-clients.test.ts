import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { api, routePlugin } from "../../../support/api.ts";
import { eventually } from "../../../support/eventually.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { FRAME, Http2Frames } from "../../../support/http2-frames.ts";
import { RawConnection } from "../../../support/raw-http.ts";
import { Upstream } from "../../../support/upstream.ts";

const UPGRADE =
  "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n";

interface Got {
  readonly url: string;
  readonly body: string;
  readonly trailers: readonly string[];
}

/** An upstream that tells what it got, and a gateway before it. */
class Echo implements AsyncDisposable {
  readonly upstream: Upstream;
  readonly gateway: TestGateway;
  readonly got: readonly Got[];

  private constructor(
    upstream: Upstream,
    gateway: TestGateway,
    got: readonly Got[],
  ) {
    this.upstream = upstream;
    this.gateway = gateway;
    this.got = got;
  }

  static async start(): Promise<Echo> {
    const got: Got[] = [];
    const upstream = await Upstream.start((request, response) => {
      let body = "";
      request.setEncoding("latin1").on("data", (piece: string) => {
        body += piece;
      });
      request.on("end", () => {
        got.push({
          url: request.url ?? "",
          body,
          trailers: Object.keys(request.trailers),
        });
        response.end("passed");
      });
    });
    const gateway = await TestGateway.start(api(upstream.port));
    return new Echo(upstream, gateway, got);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway[Symbol.asyncDispose]();
    await this.upstream[Symbol.asyncDispose]();
  }
}

test("a CONNECT over HTTP/2 that is reset in the packet that it came in ends nothing but itself", async () => {
  await using echo = await Echo.start();
  const { gateway } = echo;
  const socket = connect(gateway.port, "127.0.0.1");
  await once(socket, "connect");
  const client = new Http2Frames(socket);
  socket.cork();
  client.begin();
  client.headers(1, [
    [":method", "CONNECT"],
    [":authority", "x:80"],
  ]);
  client.write(FRAME.resetStream, 0, 1, Buffer.from([0, 0, 0, 8]));
  client.write(FRAME.ping, 0, 0, Buffer.alloc(8));
  socket.uncork();
  // The answer to the ping comes after all of it was read.
  expect(await client.next(FRAME.ping)).toBeDefined();
  expect((await gateway.ask("/api")).text).toBe("passed");
  socket.destroy();
});

test.each(["websocket", "h2c"])(
  "an upgrade to %s sent behind a request whose answer is under way closes that connection and ends nothing else",
  async (protocol) => {
    await using upstream = await Upstream.start((_request, response) => {
      response.writeHead(200).flushHeaders();
    });
    await using gateway = await TestGateway.start(api(upstream.port));
    const client = await RawConnection.open(gateway.host);
    client.socket.write(
      `GET /api/slow HTTP/1.1\r\nHost: x\r\n\r\nGET /api/ws HTTP/1.1\r\n${UPGRADE.replace("websocket", protocol)}\r\n`,
    );
    await once(client.socket, "close");
    const { status } = await gateway.ask("/elsewhere");
    expect(status).toBe(404);
  },
);

test("an upgrade with a body is an ordinary request: its body goes with it, and not before the next one", async () => {
  await using echo = await Echo.start();
  const { gateway, got } = echo;
  const client = await RawConnection.open(gateway.host);
  await client.write(
    `GET /api/ws HTTP/1.1\r\n${UPGRADE}Content-Length: 5\r\n\r\nhello`,
  );
  await client.until(/passed$/);
  expect(got).toEqual([{ url: "/ws", body: "hello", trailers: [] }]);
  client.socket.destroy();
});

test("trailers do not carry what a client's headers may not", async () => {
  await using echo = await Echo.start();
  const { gateway, got } = echo;
  const client = await RawConnection.open(gateway.host);
  await client.write(
    "POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Consumer-ID, X-Checksum\r\n\r\n",
    "2\r\nhi\r\n0\r\nX-Consumer-ID: admin\r\nX_Consumer_ID: admin\r\nX-Checksum: 1\r\n\r\n",
  );
  await client.until(/passed$/);
  expect(got).toEqual([{ url: "/", body: "hi", trailers: ["x-checksum"] }]);
  client.socket.destroy();
});

test("a GET that a plugin made a HEAD has no body, whatever length the upstream tells", async () => {
  await using upstream = await Upstream.start((_request, response) => {
    response.writeHead(200, { "content-length": "5000" }).end();
  });
  await using gateway = await TestGateway.start([
    ...api(upstream.port),
    routePlugin(3, "request-transformer", { http_method: "HEAD" }),
  ]);
  const { status, headers, text } = await gateway.ask("/api");
  expect({ status, length: headers["content-length"], text }).toEqual({
    status: 200,
    length: "0",
    text: "",
  });
});

test("what is no request, behind some that are, is refused in its turn: none of them gets that for an answer", async () => {
  const answers: (() => void)[] = [];
  await using upstream = await Upstream.start((request, response) => {
    answers.push(() => response.end(`answer to ${request.url}\n`));
  });
  await using gateway = await TestGateway.start(api(upstream.port));
  const client = await RawConnection.open(gateway.host);
  client.socket.write(
    "GET /api/a HTTP/1.1\r\nHost: a\r\n\r\nGET /api/b HTTP/1.1\r\nHost: a\r\n\r\nno request\r\n\r\n",
  );
  for (const count of [1, 2]) {
    await eventually(
      () => (answers.length === count ? true : undefined),
      `request ${count} came`,
    );
    expect(client.received).not.toContain("400");
    answers[count - 1]?.();
  }
  const received = await client.until(/HTTP\/1\.1 400 [^]*Bad request/);
  expect(received.match(/^HTTP\/1\.1 \d+|^answer to .*/gm)).toEqual([
    "HTTP/1.1 200",
    "answer to /a",
    "HTTP/1.1 200",
    "answer to /b",
    "HTTP/1.1 400",
  ]);
  await client.closed();
});

test("requests that a client sends one behind the other go upstream one after the other, in their order, and none of them once it has gone", async () => {
  const seen: string[] = [];
  const answers: (() => void)[] = [];
  await using upstream = await Upstream.start((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (text: string) => (body += text));
    request.on("end", () => {
      seen.push(`${request.url ?? ""} ${body}`);
      answers.push(() => response.end(`answer ${seen.length}\n`));
    });
  });
  await using gateway = await TestGateway.start(api(upstream.port));
  const client = await RawConnection.open(gateway.host);
  const many = 200;
  let bytes = "";
  for (let i = 0; i < many; i++)
    bytes +=
      i % 2 === 0
        ? `GET /api/${i} HTTP/1.1\r\nHost: a\r\n\r\n`
        : `POST /api/${i} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody`;
  client.socket.write(bytes);
  for (let i = 0; i < 50; i++) {
    await eventually(
      () => (answers.length > i ? true : undefined),
      `request ${i} came`,
    );
    expect(seen).toHaveLength(i + 1);
    expect(seen.at(-1)).toBe(i % 2 === 0 ? `/${i} ` : `/${i} body`);
    answers[i]?.();
    await client.until(new RegExp(`answer ${i + 1}\n`));
  }
  await eventually(
    () => (answers.length > 50 ? true : undefined),
    "the next request came",
  );
  client.socket.destroy();
  answers[50]?.();
  expect((await gateway.ask("/nowhere")).status).toBe(404);
  await eventually(
    () => (gateway.gateway.upstreamConnections.busy === 0 ? true : undefined),
    "nothing goes on upstream",
  );
  expect(seen).toHaveLength(51);
});
