import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { api, routePlugin, type ApiFields } from "../../../support/api.ts";
import { eventually } from "../../../support/eventually.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { Http2Client, read } from "../../../support/tls-gateway.ts";
import { Upstream } from "../../../support/upstream.ts";

/** A gateway in front of an upstream, and a client of HTTP/2. */
async function between(
  handle?: (request: IncomingMessage, response: ServerResponse) => void,
  fields?: ApiFields,
) {
  const upstream = await Upstream.start(handle);
  const gateway = await TestGateway.start(api(upstream.port, fields), {
    graceMs: 5_000,
  });
  const client = await Http2Client.clear(gateway.port);
  return {
    upstream,
    gateway,
    client,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await gateway[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

const POST = { ":method": "POST" };

/** More than lies in the windows and buffers between an upstream and a client that does not read. */
const MUCH = 32 * 1024 * 1024;

describe("a client of HTTP/2 before an upstream of HTTP/1.1", () => {
  test("has bodies of any size passed both ways, with trailers", async () => {
    await using all = await between((request, response) => {
      response.writeHead(200, { trailer: "x-sum", "x-many": ["a", "b"] });
      let sum = 0;
      request.on("data", (chunk: Buffer) => {
        sum += chunk.length;
        response.write(chunk);
      });
      request.on("end", () => {
        response.addTrailers({
          "x-sum": String(sum),
          "x-told": String(request.trailers["x-mine"]),
        });
        response.end();
      });
    });
    const stream = all.client.session.request(
      { ":path": "/api", ...POST },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => {
      stream.sendTrailers({ "x-mine": "yes" });
    });
    stream.end(Buffer.alloc(3_000_000, "x"));
    const answer = await read(stream);
    expect(answer.text.length).toBe(3_000_000);
    expect(answer.headers["x-many"]).toBe("a, b");
    expect(answer.trailers).toMatchObject({
      "x-sum": "3000000",
      "x-told": "yes",
    });
  });

  test("has one Cookie made of its crumbs, and its authority as the host", async () => {
    await using all = await between(undefined, {
      route: { preserveHost: true },
    });
    const answer = await all.client.ask("/api", {
      cookie: ["a=1", "b=2"],
      ":authority": "shop.example",
    });
    expect(JSON.parse(answer.text)).toMatchObject({
      headers: { cookie: "a=1; b=2", "x-forwarded-host": "shop.example" },
    });
  });

  test("gets the head and each event of a stream at once", async () => {
    let upstreamSide: ServerResponse | undefined;
    await using all = await between((_request, response) => {
      upstreamSide = response;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
    });
    const stream = all.client.open("/api", {}, true);
    await once(stream, "response");
    for (const event of ["data: 1\n\n", "data: 2\n\n"]) {
      upstreamSide?.write(event);
      const [chunk] = (await once(stream, "data")) as [Buffer];
      expect(chunk.toString()).toBe(event);
    }
    stream.close();
  });

  test("is not told a header that HTTP/2 forbids, when a plugin sets one", async () => {
    let upstreamSide: ServerResponse | undefined;
    await using all = await between((_request, response) => {
      upstreamSide = response;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
    });
    await all.gateway.serve([
      ...api(all.upstream.port),
      routePlugin(3, "response-transformer", {
        add: { headers: ["te:gzip", "x-more:yes"] },
      }),
    ]);
    const stream = all.client.open("/api", {}, true);
    const [headers] = (await once(stream, "response")) as [object];
    expect(headers).toMatchObject({ ":status": 200, "x-more": "yes" });
    expect(headers).not.toHaveProperty("te");
    stream.resume();
    upstreamSide?.end();
    await once(stream, "close");
  });

  test("sends its body when it is told to go on, and not before", async () => {
    await using all = await between();
    const stream = all.client.open("/api", {
      ...POST,
      expect: "100-continue",
    });
    await once(stream, "continue");
    stream.end("body");
    expect((await read(stream)).status).toBe(200);
    const nowhere = all.client.open("/nowhere", {
      ...POST,
      expect: "100-continue",
    });
    expect((await read(nowhere)).status).toBe(404);
  });

  test("that gives up a request ends it upstream, and its connection goes on", async () => {
    let gone = 0;
    await using all = await between((request, response) => {
      request.on("error", () => undefined);
      response.on("close", () => gone++);
      if (request.url === "/begun") response.write("x");
    });
    for (const path of ["/api/silent", "/api/begun", "/api/upload"]) {
      const stream = all.client.open(
        path,
        path.endsWith("upload") ? POST : {},
        !path.endsWith("upload"),
      );
      if (path.endsWith("begun")) await once(stream, "data");
      else if (path.endsWith("upload")) stream.write("half");
      const before = gone;
      await eventually(
        () =>
          all.gateway.gateway.upstreamConnections.busy > 0 ? true : undefined,
        "the request upstream",
      );
      stream.destroy(new Error("given up"));
      await eventually(
        () => (gone > before ? true : undefined),
        `${path} ended upstream`,
      );
    }
    expect((await all.client.ask("/nowhere")).status).toBe(404);
  });

  test.each([{ "content-length": "100" }, {}])(
    "sees an answer that breaks off break off, and its connection goes on: %j",
    async (headers) => {
      await using all = await between((_request, response) => {
        response.writeHead(200, headers);
        response.write("half", () => response.destroy());
      });
      const broken = await all.client.ask("/api");
      expect(broken.status).toBe(200);
      expect(broken.code).toBe(2);
      expect((await all.client.ask("/nowhere")).status).toBe(404);
    },
  );

  test("that does not read holds its upstream back, and nobody else", async () => {
    let written = 0;
    await using all = await between((request, response) => {
      if (request.url !== "/flood") {
        response.end("quick");
        return;
      }
      const chunk = Buffer.alloc(65_536);
      const more = (): void => {
        while (!response.destroyed && response.write(chunk))
          written += chunk.length;
      };
      response.on("drain", more);
      more();
    });
    const stream = all.client.open("/api/flood", {}, true);
    await once(stream, "response");
    stream.pause();
    // Others go the same way: while they come and go, so would what is not held back.
    await eventually(async () => {
      const before = written;
      for (let others = 0; others < 4; others++) await all.client.ask("/api");
      return written === before || written > MUCH ? true : undefined;
    }, "the upstream held back");
    expect(written).toBeLessThan(MUCH);
    expect((await all.client.ask("/api")).text).toBe("quick");
    stream.close();
  });

  test("is told by GOAWAY to go elsewhere at a stop, and has its request answered", async () => {
    let answer: () => void = () => undefined;
    await using all = await between((_request, response) => {
      answer = () => response.end("late");
    });
    const stream = all.client.open("/api", {}, true);
    const answered = read(stream);
    await eventually(
      () => (all.upstream.connections > 0 ? true : undefined),
      "the request upstream",
    );
    await new Promise(setImmediate);
    const goAway = once(all.client.session, "goaway");
    const closed = all.gateway.gateway.close();
    expect((await goAway)[0]).toBe(0);
    answer();
    expect((await answered).text).toBe("late");
    await closed;
  });

  test("may not CONNECT", async () => {
    await using all = await between();
    const stream = all.client.session.request({
      ":method": "CONNECT",
      ":authority": "x:443",
    });
    expect((await read(stream)).status).toBe(405);
  });
});

test("many who say little, or nothing, keep nobody else from being served", async () => {
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start(api(upstream.port));
  const sockets: Socket[] = [];
  const begin = [
    "",
    "GET /api HTTP/1.1\r\nHos",
    "POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nslow",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  ];
  for (let i = 0; i < 400; i++) {
    const socket = connect(gateway.port, "127.0.0.1");
    socket.on("error", () => undefined);
    await once(socket, "connect");
    socket.write(begin[i % begin.length] ?? "");
    sockets.push(socket);
  }
  for (let i = 0; i < 20; i++)
    expect((await gateway.ask("/api")).status).toBe(200);
  for (const socket of sockets) socket.destroy();
  await eventually(
    () => (gateway.gateway.upstreamConnections.busy === 0 ? true : undefined),
    "nothing left upstream",
  );
});
