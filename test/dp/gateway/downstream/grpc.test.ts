import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { credentials, Metadata, status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { api, type ApiFields } from "../../../support/api.ts";
import { eventually } from "../../../support/eventually.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { Http2Client } from "../../../support/tls-gateway.ts";
import { SERVER_CERT, SERVER_KEY } from "../../../support/tls-chain.ts";
import { GrpcUpstream, Words } from "../../../support/grpc-upstream.ts";

/** A service of gRPC with a route of gRPC for all its calls. */
function words(port: number, { service = {}, route = {} }: ApiFields = {}) {
  return api(port, {
    service: { protocol: "grpc", ...service },
    route: {
      protocols: ["grpc", "grpcs"],
      paths: ["/test.Words/"],
      strip_path: false,
      ...route,
    },
  });
}

const clear = (gateway: TestGateway): Words =>
  new Words(`127.0.0.1:${gateway.port}`, credentials.createInsecure());

/** Over TLS, believing any certificate. */
const secure = (gateway: TestGateway): Words =>
  new Words(
    `127.0.0.1:${gateway.tlsPort}`,
    credentials.createSsl(null, null, null, { rejectUnauthorized: false }),
  );

const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => status.OK,
    (error: unknown) =>
      error instanceof Error && "code" in error && "details" in error
        ? [error.code, error.details]
        : error,
  );

async function readAll(call: ReturnType<Words["count"]>): Promise<string[]> {
  const got: string[] = [];
  for await (const word of call) got.push(word as string);
  return got;
}

describe.each([
  ["in clear text", clear, () => GrpcUpstream.start(), {}],
  [
    "over TLS, on both sides",
    secure,
    () => GrpcUpstream.startSecure(),
    { service: { protocol: "grpcs" } },
  ],
] as const)("gRPC %s", (_how, connect, start, fields) => {
  test("passes calls of all four kinds, with what is told before and after them", async () => {
    await using upstream = await start();
    await using gateway = await TestGateway.startSecure(
      words(upstream.port, fields),
    );
    using client = connect(gateway);
    const metadata = new Metadata();
    metadata.set("x-told", "by the client");
    metadata.set("x-bytes-bin", Buffer.from([0, 255, 10]));
    const said = await client.say("hello", metadata);
    expect(said.word).toBe("said hello");
    expect(said.initial.get("x-initial")).toEqual(["told at once"]);
    expect(said.trailers.get("x-trailer")).toEqual(["told at the end"]);
    expect(upstream.metadata[0]?.get("x-told")).toEqual(["by the client"]);
    expect(upstream.metadata[0]?.get("x-bytes-bin")).toEqual([
      Buffer.from([0, 255, 10]),
    ]);
    expect(await readAll(client.count("one two three"))).toEqual([
      "one",
      "two",
      "three",
    ]);
    expect(await client.join(["a", "b", "c"])).toBe("a b c");
    const chat = client.chat();
    await once(chat, "metadata");
    for (const word of ["x", "y"]) {
      chat.write(word);
      expect(await once(chat, "data")).toEqual([word.toUpperCase()]);
    }
    chat.end();
    expect((await once(chat, "status"))[0]).toMatchObject({ code: status.OK });
  });

  test("passes a failure on as it is", async () => {
    await using upstream = await start();
    await using gateway = await TestGateway.startSecure(
      words(upstream.port, fields),
    );
    using client = connect(gateway);
    expect(await codeOf(client.say("fail"))).toEqual([
      status.FAILED_PRECONDITION,
      "not today, ü",
    ]);
  });

  test("carries deadlines and what clients give up to the upstream", async () => {
    await using upstream = await start();
    await using gateway = await TestGateway.startSecure(
      words(upstream.port, fields),
    );
    using client = connect(gateway);
    // To connect may take longer than the call may.
    await codeOf(client.say("hello"));
    expect(
      await codeOf(
        client.say("never", new Metadata(), { deadline: Date.now() + 100 }),
      ),
    ).toEqual([status.DEADLINE_EXCEEDED, expect.any(String)]);
    const call = client.count("one forever");
    call.on("error", () => undefined);
    await once(call, "data");
    call.cancel();
    await eventually(
      () => (upstream.cancelled === 2 ? true : undefined),
      "both calls cancelled upstream",
    );
  });
});

describe("a route of gRPC", () => {
  const call = {
    "content-type": "application/grpc",
    te: "trailers",
    ":method": "POST",
  };

  test("wants HTTP/2, gRPC, and TLS if it is for that only", async () => {
    await using gateway = await TestGateway.startSecure(
      words(1, { route: { protocols: ["grpcs"] } }),
    );
    await using client = await Http2Client.clear(gateway.port);
    const path = "/test.Words/Say";
    const old = await gateway.ask(path, {
      method: "POST",
      headers: { "content-type": "application/grpc" },
    });
    expect([
      old.status,
      old.headers.upgrade,
      old.headers["grpc-message"],
    ]).toEqual([426, "HTTP/2", "Please use HTTP2 protocol"]);
    const plain = await client.ask(path);
    expect([plain.status, plain.text]).toEqual([
      415,
      expect.stringContaining("Non-gRPC request matched gRPC route"),
    ]);
    const clearText = await client.ask(path, call, "");
    expect(clearText).toMatchObject({
      status: 200,
      headers: {
        "grpc-status": "1",
        "grpc-message": "gRPC request matched gRPCs route",
      },
    });
  });

  test("tells its clients what went wrong in their words", async () => {
    await using gateway = await TestGateway.startSecure(words(1));
    using client = clear(gateway);
    expect(await codeOf(client.say("x"))).toEqual([
      status.UNAVAILABLE,
      "The upstream server is currently unavailable",
    ]);
    await gateway.serve([]);
    expect(await codeOf(client.say("x"))).toEqual([
      status.NOT_FOUND,
      "no Route matched with those values",
    ]);
  });
});

describe("the connections to an upstream of gRPC", () => {
  test("are few for many calls, closed with the gateway, and made anew when the upstream is", async () => {
    await using upstream = await GrpcUpstream.start();
    await using gateway = await TestGateway.startSecure(words(upstream.port));
    using client = clear(gateway);
    const said = await Promise.all(
      Array.from({ length: 150 }, (_, i) => client.say(String(i))),
    );
    expect(said.map(({ word }) => word)).toEqual(
      said.map((_, i) => `said ${i}`),
    );
    expect(gateway.gateway.upstreamConnections.open).toBeLessThanOrEqual(2);
    upstream.cut();
    await eventually(
      () => (gateway.gateway.upstreamConnections.open === 0 ? true : undefined),
      "the connections gone",
    );
    expect((await client.say("again")).word).toBe("said again");
  });

  test("that are told to end let their calls end, and take no others", async () => {
    await using upstream = await GrpcUpstream.start();
    await using gateway = await TestGateway.startSecure(words(upstream.port));
    using client = clear(gateway);
    const chat = client.chat();
    await once(chat, "metadata");
    upstream.drain();
    // What the upstream says next comes after its wish to be left.
    chat.write("x");
    expect(await once(chat, "data")).toEqual(["X"]);
    expect((await client.say("elsewhere")).word).toBe("said elsewhere");
    expect(gateway.gateway.upstreamConnections).toEqual({ busy: 1, open: 2 });
    chat.end();
    expect((await once(chat, "status"))[0]).toMatchObject({ code: status.OK });
  });

  test("must be of HTTP/2: an upstream over TLS that speaks HTTP/1.1 only is no upstream of gRPC", async () => {
    const server = createHttpsServer({ cert: SERVER_CERT, key: SERVER_KEY });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await using gateway = await TestGateway.startSecure(
      words(port, { service: { protocol: "grpcs", retries: 0 } }),
    );
    using client = clear(gateway);
    expect(await codeOf(client.say("x"))).toEqual([
      status.UNAVAILABLE,
      "An invalid response was received from the upstream server",
    ]);
    server.close();
  });
});

test("words that a client does not finish never look whole to the upstream", async () => {
  const server = createHttp2Server();
  let began = false;
  let whole = false;
  let code: number | undefined;
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    stream.on("data", () => (began = true));
    stream.on("end", () => (whole = !stream.aborted));
    stream.on("close", () => (code = stream.rstCode));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await using gateway = await TestGateway.start(words(port));
  await using client = await Http2Client.clear(gateway.port);
  const joining = client.open("/test.Words/Join", {
    "content-type": "application/grpc",
    ":method": "POST",
  });
  joining.write(Buffer.from("\0\0\0\0\x04half"));
  await eventually(() => (began ? true : undefined), "the first word");
  // Not `close`: that would end the stream before it resets it.
  joining.destroy(new Error("broken off"));
  // CANCEL
  expect(await eventually(() => code, "the call over upstream")).toBe(8);
  expect(whole).toBe(false);
  server.close();
});
