import { create, fromBinary } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createClient,
  createContextValues,
  type Transport,
} from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { once } from "node:events";
import { createServer as createHttp1, type Server } from "node:http";
import { connect, createServer as createHttp2 } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  Health,
  HealthCheckResponse_ServingStatus as Serving,
  HealthCheckResponseSchema,
} from "../../src/gen/grpc/health/v1/health_pb.js";
import { systemClock } from "../../src/runtime/clock.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { rpcHandler } from "../../src/runtime/rpc-handler.ts";
import { eventually } from "../support/eventually.ts";

const SERVING = create(HealthCheckResponseSchema, { status: Serving.SERVING });

let stack: CloseStack;
/** Calls that were let in, and those that have ended. */
let counts: { admitted: number; done: number };
let watching: Promise<unknown> | undefined;
let ports: { readonly http1: number; readonly http2: number };

beforeEach(async () => {
  stack = new CloseStack();
  counts = { admitted: 0, done: 0 };
  watching = undefined;
  const handler = rpcHandler({
    routes: (router) => {
      router.service(Health, {
        check: ({ service }) => {
          if (service === "wrong")
            throw new ConnectError("no such service", Code.NotFound);
          return SERVING;
        },
        watch: async function* ({ service }, { signal }) {
          yield SERVING;
          if (service !== "long") return;
          watching = once(signal, "abort");
          await watching;
        },
      });
    },
    fallback: (_, response) => response.end(),
    shutdown: new AbortController().signal,
    interceptors: [],
    admit: () => {
      counts.admitted++;
      return { values: createContextValues(), done: () => counts.done++ };
    },
    details: [],
    clock: systemClock,
    logger: silentLogger,
  });
  ports = {
    http1: await listening(createHttp1(handler)),
    http2: await listening(createHttp2(handler)),
  };
});
afterEach(() => stack.close());

async function listening(
  server: Server | ReturnType<typeof createHttp2>,
): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stack.defer(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** All calls that were let in have ended, and there were so many. */
async function ended(count: number): Promise<void> {
  await eventually(
    () => counts.done === count || undefined,
    "the end of the calls",
  );
  expect(counts).toEqual({ admitted: count, done: count });
}

const TRANSPORTS: readonly [string, () => Transport][] = [
  ["gRPC", () => createGrpcTransport({ baseUrl: url("http2") })],
  [
    "gRPC-Web over HTTP/1.1",
    () => createGrpcWebTransport({ baseUrl: url("http1"), httpVersion: "1.1" }),
  ],
  [
    "Connect over HTTP/2",
    () => createConnectTransport({ baseUrl: url("http2"), httpVersion: "2" }),
  ],
  [
    "JSON over HTTP/1.1",
    () =>
      createConnectTransport({
        baseUrl: url("http1"),
        httpVersion: "1.1",
        useBinaryFormat: false,
      }),
  ],
];

function url(version: "http1" | "http2"): string {
  return `http://127.0.0.1:${ports[version]}`;
}

test.each(TRANSPORTS)(
  "a call by %s has ended when it was answered, refused, streamed or given up",
  async (_, transport) => {
    const client = createClient(Health, transport());
    await client.check({});
    await ended(1);
    await expect(client.check({ service: "wrong" })).rejects.toThrow("no such");
    await ended(2);
    for await (const { status } of client.watch({}))
      expect(status).toBe(Serving.SERVING);
    await ended(3);
    const leave = new AbortController();
    const left = async (): Promise<void> => {
      const answers = client.watch(
        { service: "long" },
        { signal: leave.signal },
      );
      for await (const answer of answers) if (answer.status > 0) leave.abort();
    };
    await expect(left()).rejects.toThrow();
    await ended(4);
    await watching;
  },
);

test("a call that has been read and turns out to be none that is answered without connect has ended once", async () => {
  const session = connect(url("http2"));
  stack.defer(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": "/grpc.health.v1.Health/Check",
    "content-type": "application/grpc",
    te: "trailers",
  });
  const trailers = once(stream, "trailers");
  // Two messages where there may be one.
  stream.end(Buffer.alloc(10));
  stream.resume();
  const [{ "grpc-status": status }] = (await trailers) as [
    { readonly "grpc-status": string },
  ];
  expect(Number(status)).toBe(Code.Unimplemented);
  await ended(1);
});

test("what is answered is what the method says", async () => {
  const answer = await fetch(`${url("http1")}/grpc.health.v1.Health/Check`, {
    method: "POST",
    headers: { "content-type": "application/proto" },
  });
  const bytes = new Uint8Array(await answer.arrayBuffer());
  expect(fromBinary(HealthCheckResponseSchema, bytes)).toEqual(SERVING);
});
