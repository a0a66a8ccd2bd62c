import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { EventEmitter, once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  SyncService,
  type ConnectResponse,
} from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import {
  bindBidi,
  GrpcServer,
  messagesOf,
  sendMessage,
  type BidiClientCall,
  type BidiHandler,
  type GrpcServerOptions,
} from "../../src/runtime/grpc.ts";
import {
  GrpcClient,
  type GrpcClientOptions,
} from "../../src/runtime/grpc-client.ts";
import { GrpcError } from "../../src/runtime/grpc-error.ts";
import { ListenError, type HostPort } from "../../src/runtime/host-port.ts";
import { FRAME, Http2Frames } from "../support/http2-frames.ts";

const Connect = SyncService.method.connect;
type Handler = BidiHandler<typeof Connect>;

let stack = new CloseStack();
afterEach(async () => {
  await stack.close();
  stack = new CloseStack();
});

interface Status {
  readonly code: number;
  readonly details: string;
}

async function serve(
  connect: Handler,
  options: Partial<GrpcServerOptions> = {},
): Promise<{ server: GrpcServer; failures: unknown[] }> {
  const failures: unknown[] = [];
  const server = await GrpcServer.listen(
    { host: "127.0.0.1", port: 0 },
    [bindBidi(SyncService, { connect })],
    { onFailure: (error) => failures.push(error), ...options },
  );
  stack.defer(() => server.close(0));
  return { server, failures };
}

function call(
  server: GrpcServer,
  options: GrpcClientOptions & { signal?: AbortSignal } = {},
): {
  client: GrpcClient;
  stream: BidiClientCall<typeof Connect>;
  ended: Promise<Status>;
} {
  const client = new GrpcClient(server.address, options);
  stack.defer(() => client.close());
  const stream = client.bidi(Connect, options.signal);
  stream.on("error", () => {});
  // Not events.once: that rejects when 'error' comes before.
  const ended = new Promise<Status>((resolve) => stream.on("status", resolve));
  return { client, stream, ended };
}

/** Passes bytes on until it is told to be silent with all connections open, or to cut them. */
async function silencer(server: GrpcServer): Promise<{
  address: HostPort;
  silence: () => void;
  cut: () => void;
}> {
  let silent = false;
  const sockets: Socket[] = [];
  const relay = createServer((near) => {
    const far = connect(server.address.port, server.address.host);
    sockets.push(near, far);
    near.on("error", () => {});
    far.on("error", () => {});
    near.on("data", (chunk) => silent || far.write(chunk));
    far.on("data", (chunk) => silent || near.write(chunk));
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  stack.defer(() => {
    cut();
    relay.close();
  });
  const { port } = relay.address() as AddressInfo;
  return {
    address: { host: "127.0.0.1", port },
    silence: () => {
      silent = true;
    },
    cut,
  };
}

const goodbye = (message: string) => ({
  message: { case: "goodbye" as const, value: { message } },
});
const messageOf = (response: ConnectResponse): string =>
  response.message.case === "goodbye" ? response.message.value.message : "";

async function readAll(
  stream: BidiClientCall<typeof Connect>,
): Promise<string[]> {
  const seen: string[] = [];
  for await (const response of messagesOf(stream))
    seen.push(messageOf(response));
  return seen;
}

describe("a gRPC stream", () => {
  test("carries typed messages both ways and ends with OK when its handler resolves", async () => {
    const { server } = await serve(async (stream, signal) => {
      for await (const request of messagesOf(stream))
        await sendMessage(
          stream,
          goodbye(`heard ${request.message.case ?? "nothing"}`),
          signal,
        );
    });
    const { stream, ended } = call(server);
    stream.write({ message: { case: "snapshotRequest", value: {} } });
    stream.write({ message: { case: "ack", value: { seq: 1n } } });
    stream.end();
    expect(await readAll(stream)).toEqual([
      "heard snapshotRequest",
      "heard ack",
    ]);
    expect((await ended).code).toBe(status.OK);
  });

  test("sends bytes that are encoded already as they are", async () => {
    const encoded = toBinary(
      ConnectResponseSchema,
      create(ConnectResponseSchema, goodbye("encoded once")),
    );
    // An unknown field would be lost or moved if the bytes were decoded and encoded again.
    const withUnknown = Buffer.concat([
      Buffer.from([0xf8, 0x7f, 0x01]),
      encoded,
    ]);
    const requests: Uint8Array[] = [];
    const { server } = await serve(async (stream, signal) => {
      for await (const request of messagesOf(stream))
        requests.push(toBinary(ConnectRequestSchema, request));
      await sendMessage(stream, withUnknown, signal);
    });
    const { stream } = call(server);
    const request = toBinary(
      ConnectRequestSchema,
      create(ConnectRequestSchema, {
        message: { case: "snapshotRequest", value: {} },
      }),
    );
    stream.write(request);
    stream.end();
    const [first] = await once(stream, "data").then(
      (a) => a as ConnectResponse[],
    );
    expect(messageOf(first!)).toBe("encoded once");
    expect(first!.$unknown).toHaveLength(1);
    expect(requests.map((r) => Buffer.from(r))).toEqual([Buffer.from(request)]);
    expect(fromBinary(ConnectRequestSchema, request).message.case).toBe(
      "snapshotRequest",
    );
  });

  test("stays open when the handler stops reading early", async () => {
    const { server } = await serve(async (stream, signal) => {
      for await (const request of messagesOf(stream)) {
        expect(request.message.case).toBe("snapshotRequest");
        break;
      }
      await sendMessage(stream, goodbye("after the break"), signal);
    });
    const { stream, ended } = call(server);
    stream.write({ message: { case: "snapshotRequest", value: {} } });
    expect(await readAll(stream)).toEqual(["after the break"]);
    expect((await ended).code).toBe(status.OK);
  });

  test("ends with the status of a GrpcError, and with INTERNAL and no detail for anything else", async () => {
    const { server, failures } = await serve(async (stream) => {
      for await (const request of messagesOf(stream)) {
        if (request.message.case === "ack")
          throw new GrpcError(status.INVALID_ARGUMENT, "no hello");
        throw new Error("the password is hunter2");
      }
    });
    const first = call(server);
    first.stream.resume();
    first.stream.write({ message: { case: "ack", value: {} } });
    expect(await first.ended).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: "no hello",
    });
    expect(failures).toEqual([]);
    const second = call(server);
    second.stream.resume();
    second.stream.write({ message: { case: "snapshotRequest", value: {} } });
    expect(await second.ended).toMatchObject({
      code: status.INTERNAL,
      details: "internal error",
    });
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatchObject({ message: "the password is hunter2" });
  });

  test("aborts the handler's signal when the client cancels, and when its connection breaks", async () => {
    const events = new EventEmitter();
    const { server, failures } = await serve(async (_stream, signal) => {
      const aborted = once(signal, "abort");
      events.emit("started");
      await aborted;
      events.emit("aborted");
      throw signal.reason;
    });

    const controller = new AbortController();
    const cancelled = call(server, { signal: controller.signal });
    cancelled.stream.resume();
    await once(events, "started");
    const first = once(events, "aborted");
    controller.abort();
    await first;
    expect((await cancelled.ended).code).toBe(status.CANCELLED);

    const relay = await silencer(server);
    const cut = new GrpcClient(relay.address);
    stack.defer(() => cut.close());
    const stream = cut.bidi(Connect);
    stream.on("error", () => {});
    stream.resume();
    await once(events, "started");
    const second = once(events, "aborted");
    relay.cut();
    await second;
    expect(failures).toEqual([]);
  });

  test("with a signal that is aborted already does not reach the handler", async () => {
    let called = false;
    const { server } = await serve(async () => {
      called = true;
    });
    const { stream, ended } = call(server, { signal: AbortSignal.abort() });
    stream.resume();
    expect((await ended).code).toBe(status.CANCELLED);
    expect(called).toBe(false);
  });

  test("is refused when a message is over the limit, in either direction", async () => {
    const { server } = await serve(
      async (stream, signal) => {
        for await (const request of messagesOf(stream)) {
          expect(request.message.case).toBe("snapshotRequest");
          await sendMessage(stream, goodbye("x".repeat(4096)), signal);
        }
      },
      { maxReceiveBytes: 1024 },
    );
    const tooMuch = call(server);
    tooMuch.stream.resume();
    tooMuch.stream.write({
      message: {
        case: "hello",
        value: { workspace: "x".repeat(2048) },
      },
    });
    expect((await tooMuch.ended).code).toBe(status.RESOURCE_EXHAUSTED);
    const answered = call(server, { maxReceiveBytes: 1024 });
    answered.stream.resume();
    answered.stream.write({ message: { case: "snapshotRequest", value: {} } });
    expect((await answered.ended).code).toBe(status.RESOURCE_EXHAUSTED);
  });

  test("holds the sender back while the peer does not read", async () => {
    let sent = 0;
    const { server } = await serve(async (stream, signal) => {
      for await (const request of messagesOf(stream)) {
        if (request.message.case === "snapshotRequest")
          await sendMessage(stream, goodbye("echo"), signal);
        else
          for (; sent < 1000; sent++)
            await sendMessage(stream, goodbye("x".repeat(65_536)), signal);
      }
    });
    const { stream } = call(server);
    stream.write({ message: { case: "report", value: {} } });
    await once(stream, "readable");
    // Time enough for a sender that is not held back: 300 round trips of another stream of the same server.
    const other = call(server);
    for (let i = 0; i < 300; i++) {
      const answered = once(other.stream, "data");
      other.stream.write({ message: { case: "snapshotRequest", value: {} } });
      await answered;
    }
    expect(sent).toBeLessThan(50);
    stream.cancel();
    other.stream.cancel();
  });

  test("is found dead by keepalive when the peer goes silent", async () => {
    const { server } = await serve(
      async (stream, signal) => {
        await sendMessage(stream, goodbye("hello"), signal);
        await once(signal, "abort");
      },
      { keepalive: { timeMs: 60_000, timeoutMs: 60_000 } },
    );
    const relay = await silencer(server);
    const client = new GrpcClient(relay.address, {
      keepalive: { timeMs: 200, timeoutMs: 100 },
    });
    stack.defer(() => client.close());
    const stream = client.bidi(Connect);
    const ended = new Promise<Status>((resolve) =>
      stream.on("error", resolve as (error: unknown) => void),
    );
    await once(stream, "data");
    relay.silence();
    expect((await ended).code).toBe(status.UNAVAILABLE);
  });
});

/** The head of a call, as a client writes it that does nothing else. */
const CONNECT = [
  [":method", "POST"],
  [":scheme", "http"],
  [":authority", "x"],
  [":path", "/holdfast.sync.v1.SyncService/Connect"],
  ["content-type", "application/grpc"],
  ["te", "trailers"],
] as const;

describe("a gRPC server", () => {
  test("waits at a stop for streams to end and cuts off those that do not", async () => {
    let finish = (): void => {};
    const done = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const started = new EventEmitter();
    const polite = await serve(() => {
      started.emit("started");
      return done;
    });
    const first = call(polite.server);
    first.stream.resume();
    await once(started, "started");
    const closing = polite.server.close();
    finish();
    await closing;
    expect((await first.ended).code).toBe(status.OK);

    const stubborn = await serve(() => {
      started.emit("started");
      return new Promise(() => {});
    });
    const second = call(stubborn.server);
    second.stream.resume();
    await once(started, "started");
    await stubborn.server.close(50);
    expect((await second.ended).code).not.toBe(status.OK);
  });

  test("lets a peer have few streams at a time, however many it opens", async () => {
    let opened = 0;
    const { server } = await serve(async (_stream, signal) => {
      opened++;
      await new Promise((resolve) =>
        signal.addEventListener("abort", resolve, { once: true }),
      );
    });
    const session = connectHttp2(`http://127.0.0.1:${server.address.port}`);
    await once(session, "remoteSettings");
    expect(session.remoteSettings.maxConcurrentStreams).toBe(32);
    const streams = Array.from({ length: 100 }, () =>
      session.request({
        ":method": "POST",
        ":path": "/holdfast.sync.v1.SyncService/Connect",
        "content-type": "application/grpc",
        te: "trailers",
      }),
    );
    for (const stream of streams) stream.on("error", () => undefined);
    // What was sent before it has been read when it is answered.
    await new Promise((resolve) => session.ping(resolve));
    expect(opened).toBe(32);
    session.destroy();
  });

  test("ends the connection of a peer that opens streams without end and takes them back, and serves others", async () => {
    let opened = 0;
    const { server } = await serve(async (stream, signal) => {
      opened++;
      await sendMessage(stream, goodbye("served"), signal);
    });
    const peer = await Http2Frames.open(server.address.port);
    const closed = new Promise((resolve) => peer.socket.once("close", resolve));
    for (let id = 1; id <= 2 * 500; id += 2) {
      peer.headers(id, CONNECT, false);
      peer.write(FRAME.resetStream, 0, id, Buffer.of(0, 0, 0, 8));
    }
    await closed;
    expect(opened).toBeLessThanOrEqual(64);
    const { stream } = call(server);
    expect(await readAll(stream)).toEqual(["served"]);
  });

  test("says which address is taken", async () => {
    const { server } = await serve(async () => {});
    const again = GrpcServer.listen(server.address, [], {
      onFailure: () => {},
    });
    await expect(again).rejects.toThrow(ListenError);
    await expect(again).rejects.toThrow(
      `cannot listen on 127.0.0.1:${server.address.port}: listen EADDRINUSE`,
    );
  });
});
