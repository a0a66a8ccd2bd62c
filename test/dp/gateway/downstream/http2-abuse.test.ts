import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { api } from "../../../support/api.ts";
import { eventually } from "../../../support/eventually.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { FRAME, get, Http2Frames } from "../../../support/http2-frames.ts";
import { Upstream } from "../../../support/upstream.ts";

let upstream: Upstream;
let gateway: TestGateway;
const seen: { url: string; headers: string; body: string }[] = [];

beforeAll(async () => {
  upstream = await Upstream.start((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("error", () => undefined);
    request.on("end", () => {
      seen.push({
        url: request.url ?? "",
        headers: request.rawHeaders.join("\n"),
        body: Buffer.concat(chunks).toString("latin1"),
      });
      // Never an answer to this one.
      if (request.url !== "/silent") response.end("passed");
    });
  });
  gateway = await TestGateway.start(api(upstream.port));
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

/** The gateway still serves others. */
async function serves(): Promise<void> {
  expect((await gateway.ask("/api")).status).toBe(200);
}

describe("of HTTP/2, nothing reaches an upstream of HTTP/1.1 that would be another request there:", () => {
  const post = (
    ...more: readonly (readonly [string, string])[]
  ): (readonly [string, string])[] => [
    [":method", "POST"],
    [":scheme", "http"],
    [":authority", "x"],
    [":path", "/api"],
    ...more,
  ];

  test.each<
    [string, readonly (readonly [string, string])[], string | undefined]
  >([
    [
      "transfer-encoding",
      post(["transfer-encoding", "chunked"]),
      "0\r\n\r\nGET /api/smuggled HTTP/1.1\r\n\r\n",
    ],
    ["connection", get("/api", ["connection", "close"]), undefined],
    ["upgrade", get("/api", ["upgrade", "h2c"]), undefined],
    ["a length that is too small", post(["content-length", "1"]), "abc"],
    ["a length that is too big", post(["content-length", "9"]), "abc"],
    [
      "two lengths",
      post(["content-length", "3"], ["content-length", "4"]),
      "abc",
    ],
    ["a length that is none", post(["content-length", "3x"]), "abc"],
    [
      "CR and LF in the path",
      get("/api HTTP/1.1\r\nx: y\r\n\r\nGET /api/smuggled"),
      undefined,
    ],
    ["a space in the path", get("/api HTTP/1.1 x"), undefined],
    [
      "CR and LF in the method",
      [
        [":method", "GET /api/smuggled HTTP/1.1\r\n\r\nGET"],
        [":scheme", "http"],
        [":authority", "x"],
        [":path", "/api"],
      ],
      undefined,
    ],
    [
      "CR and LF in the authority",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":authority", "x\r\nx: y"],
        [":path", "/api"],
      ],
      undefined,
    ],
    [
      "a host that differs from the authority",
      get("/api", ["host", "other"]),
      undefined,
    ],
    [
      "a user in the authority",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":authority", "u@x"],
        [":path", "/api"],
      ],
      undefined,
    ],
    [
      "no authority and no host",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":path", "/api"],
      ],
      undefined,
    ],
    [
      "no path",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":authority", "x"],
      ],
      undefined,
    ],
    ["an empty path", get(""), undefined],
    ["two paths", get("/api", [":path", "/api/smuggled"]), undefined],
    [
      "a pseudo-header after others",
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":authority", "x"],
        ["a", "b"],
        [":path", "/api"],
      ],
      undefined,
    ],
    [
      "an unknown pseudo-header",
      [...get("/api"), [":smuggled", "x"]],
      undefined,
    ],
    ["an upper-case name", get("/api", ["X-Upper", "x"]), undefined],
    ["te other than trailers", get("/api", ["te", "chunked"]), undefined],
  ])("%s", async (_what, head, body) => {
    seen.length = 0;
    const client = await Http2Frames.open(gateway.port);
    client.headers(1, head, body === undefined);
    if (body !== undefined) client.data(1, body);
    await eventually(
      () =>
        client.frames.find(
          ({ type, stream }) =>
            stream === 1 &&
            (type === FRAME.headers || type === FRAME.resetStream),
        ) ??
        client.frames.find(({ type }) => type === FRAME.goAway) ??
        (client.socket.destroyed ? "cut" : undefined),
      "an end of it",
    );
    client.socket.destroy();
    await serves();
    expect(seen.map(({ url }) => url)).toEqual(["/"]);
  });

  test.each([
    ["CR and LF", "a\r\nx-smuggled: b"],
    ["LF", "a\nx-smuggled: b"],
    ["NUL", "a\0b"],
  ])("%s in a value", async (_what, value) => {
    seen.length = 0;
    const client = await Http2Frames.open(gateway.port);
    client.headers(1, get("/api", ["x-value", value]));
    await client.next(FRAME.headers, 1);
    client.socket.destroy();
    for (const { headers } of seen) expect(headers).not.toContain("smuggled");
  });
});

describe("a client of HTTP/2 that asks for too much is cut off, and others are served:", () => {
  test("requests that are taken back at once", async () => {
    const client = await Http2Frames.open(gateway.port);
    const cancel = Buffer.from([0, 0, 0, 8]);
    for (
      let stream = 1;
      stream < 2_000 && !client.socket.destroyed;
      stream += 2
    ) {
      client.headers(stream, get("/api/silent"));
      client.write(FRAME.resetStream, 0, stream, cancel);
      if (stream % 100 === 1) await new Promise(setImmediate);
    }
    const end = await client.next(FRAME.goAway);
    await eventually(
      () => (client.socket.destroyed ? true : undefined),
      "the connection cut",
    );
    // ENHANCE_YOUR_CALM
    expect(end?.payload.readUInt32BE(4)).toBe(11);
    await serves();
    await eventually(
      () => (gateway.gateway.upstreamConnections.busy === 0 ? true : undefined),
      "nothing under way upstream",
    );
  });

  test.each([
    ["settings", FRAME.settings, Buffer.alloc(0)],
    ["pings", FRAME.ping, Buffer.alloc(8)],
  ])("%s without end", async (_what, type, payload) => {
    const client = await Http2Frames.open(gateway.port);
    for (let i = 0; i < 5_000 && !client.socket.destroyed; i++) {
      client.write(type, 0, 0, payload);
      if (i % 100 === 0) await new Promise(setImmediate);
    }
    await eventually(
      () => (client.socket.destroyed ? true : undefined),
      "the connection cut",
    );
    await serves();
  });

  test("more requests at a time than it was told", async () => {
    seen.length = 0;
    const client = await Http2Frames.open(gateway.port);
    for (let i = 0; i < 140; i++) client.headers(2 * i + 1, get("/api/silent"));
    await client.next(FRAME.resetStream);
    const refused = client.frames.filter(
      ({ type }) => type === FRAME.resetStream,
    );
    expect(refused.every(({ payload }) => payload.readUInt32BE() === 7)).toBe(
      true,
    );
    expect(seen.length).toBeLessThanOrEqual(128);
    client.socket.destroy();
    await serves();
  });

  test("headers without end", async () => {
    const client = await Http2Frames.open(gateway.port);
    const field = ["x", "y".repeat(8_000)] as const;
    client.headers(1, get("/api", field, field, field, field, field, field));
    await eventually(
      () =>
        client.frames.some(
          ({ type }) => type === FRAME.resetStream || type === FRAME.goAway,
        ) || client.socket.destroyed
          ? true
          : undefined,
      "the request refused",
    );
    client.socket.destroy();
    await serves();
  });
});
