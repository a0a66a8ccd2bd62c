import { EventEmitter, once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SyncService } from "../../src/gen/holdfast/sync/v1/sync_pb.js";
import type { Clock } from "../../src/runtime/clock.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import {
  bindBidi,
  GrpcServer,
  messagesOf,
  sendMessage,
  type BidiHandler,
  type GrpcServerOptions,
} from "../../src/runtime/grpc.ts";
import { GrpcClient } from "../../src/runtime/grpc-client.ts";
import type { Gatekeeper } from "../../src/runtime/connection-listener.ts";
import type { Peer, PeerCertificate } from "../../src/runtime/peer.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

const Connect = SyncService.method.connect;
type Handler = BidiHandler<typeof Connect>;

let stack: CloseStack;
beforeEach(() => {
  stack = new CloseStack();
});
afterEach(() => stack.close());

async function serve(
  connect: Handler,
  options: Partial<GrpcServerOptions> = {},
): Promise<GrpcServer> {
  const server = await GrpcServer.listen(
    { host: "127.0.0.1", port: 0 },
    [bindBidi(SyncService, { connect })],
    { onFailure: () => {}, ...options },
  );
  stack.defer(() => server.close(0));
  return server;
}

/** A stream that says hello when it is open. */
function open(server: GrpcServer) {
  const client = new GrpcClient(server.address);
  stack.defer(() => client.close());
  const stream = client.bidi(Connect);
  const ended = new Promise<void>((resolve) => {
    stream.on("error", () => resolve());
    stream.on("end", () => resolve());
  });
  stream.write({ message: { case: "snapshotRequest", value: {} } });
  return { client, stream, ended };
}

async function plainSocket(
  server: GrpcServer,
  { reads }: { readonly reads: boolean } = { reads: true },
): Promise<Socket> {
  const socket = connect(server.address.port, server.address.host);
  // The end of a connection is only seen by who reads up to it.
  if (reads) socket.resume();
  socket.on("error", () => {});
  stack.defer(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** Not events.once: that rejects when the connection is reset. */
const closeOf = (socket: Socket): Promise<unknown> =>
  new Promise((resolve) => socket.once("close", resolve));

const waiting = (server: GrpcServer, count: number): Promise<unknown> =>
  eventually(
    () => server.waiting === count,
    `${count} connections that wait, not ${server.waiting}`,
  );

test("no more connections are let in at a time than may be, the others in their order as soon as one is settled", async () => {
  const order: string[] = [];
  const peers = new Map<string, Peer>();
  const events = new EventEmitter();
  const server = await serve(
    async (call, signal, peer) => {
      for await (const { message } of messagesOf(call)) {
        if (message.case !== "hello") continue;
        order.push(message.value.workspace);
        peers.set(message.value.workspace, peer);
        events.emit("came");
      }
      await once(signal, "abort").catch(() => undefined);
    },
    { admission: 2 },
  );
  const clients = [];
  for (const [i, name] of ["a", "b", "c", "d", "e"].entries()) {
    const client = new GrpcClient(server.address);
    stack.defer(() => client.close());
    const stream = client.bidi(Connect);
    stream.on("error", () => {});
    stream.resume();
    stream.write({ message: { case: "hello", value: { workspace: name } } });
    clients.push({ client, stream });
    if (i < 2)
      await eventually(() => order.length === i + 1, `${name} to be let in`);
    else await waiting(server, i - 1);
  }
  expect(order).toEqual(["a", "b"]);
  peers.get("b")?.settled();
  peers.get("b")?.settled();
  await eventually(() => order.length === 3, "one more");
  await waiting(server, 2);
  // It goes without having been settled, which is as good.
  clients[0]?.stream.cancel();
  clients[0]?.client.close();
  await eventually(() => order.length === 4, "one more");
  // A connection that waits and goes away does not hold up those behind it.
  await waiting(server, 1);
  const late = await plainSocket(server);
  await waiting(server, 2);
  late.destroy();
  await waiting(server, 1);
  peers.get("c")?.settled();
  await eventually(() => order.length === 5, "the last");
  expect(order).toEqual(["a", "b", "c", "d", "e"]);
});

test("what a waiting connection has said is not lost, and it is not read on when it says too much", async () => {
  let peer: Peer | undefined;
  const server = await serve(
    async (call, signal, who) => {
      peer ??= who;
      for await (const { message } of messagesOf(call))
        await sendMessage(
          call,
          {
            message: {
              case: "goodbye",
              value: { message: String(message.case) },
            },
          },
          signal,
        );
    },
    { admission: 1 },
  );
  const first = open(server);
  await once(first.stream, "data");
  const flood = await plainSocket(server);
  await waiting(server, 1);
  let taken = 0;
  while (flood.write(Buffer.alloc(65_536)) && taken < 1_000) taken++;
  const second = open(server);
  await waiting(server, 2);
  // The kernel takes some of it, this process does not.
  expect(flood.writableLength).toBeGreaterThan(0);
  flood.destroy();
  await eventually(() => server.waiting <= 2, "it to be no hindrance");
  const answered = once(second.stream, "data");
  peer?.settled();
  await answered;
});

test("a connection on which no stream is opened in time is cut, whether it says nothing, opens none, or its stream has ended", async () => {
  const clock = new ManualClock();
  const server = await serve(async () => {}, {
    clock: clock satisfies Clock,
    idleMs: 10_000,
    admission: 1,
  });
  const silent = await plainSocket(server);
  await waiting(server, 1);
  // It holds nobody up.
  const first = open(server);
  first.stream.resume();
  await first.ended;
  await eventually(() => clock.timers === 2, "its stream to be over");
  const idle = await plainSocket(server);
  idle.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0");
  await eventually(() => clock.timers === 3, "it to be let in");
  const closed = Promise.all([closeOf(silent), closeOf(idle)]);
  clock.advance(10_001);
  await closed;
  await eventually(() => clock.timers === 0, "all to be cut");
});

/** A TLS greeting, or what looks like one. */
const GREETING = Buffer.from([0x16, 0x03, 0x01, 0, 3, 1, 2, 3]);

/** Lets nobody in by itself: the test says when a handshake is done. */
class ManualGatekeeper implements Gatekeeper {
  readonly begun: { readonly socket: Socket; finish(): void }[] = [];
  readonly givenUp: string[] = [];

  accept(socket: Socket) {
    return new Promise<{ socket: Socket; certificate: PeerCertificate }>(
      (resolve, reject) => {
        socket.once("close", () => reject(new Error("gone")));
        this.begun.push({
          socket,
          finish: () =>
            resolve({
              socket,
              certificate: {
                name: "",
                nodeId: undefined,
                workspaces: [],
                expiresAtMs: 0,
                fingerprint: "",
              },
            }),
        });
      },
    );
  }

  gaveUp(_address: string, why: string): void {
    this.givenUp.push(why);
  }
}

test("hundreds that begin to greet and do not go on keep nobody out, and are cut in the end", async () => {
  const clock = new ManualClock();
  const tls = new ManualGatekeeper();
  const server = await serve(async () => {}, { clock, admission: 1, tls });
  const closed: Promise<unknown>[] = [];
  for (let i = 0; i < 320; i++) {
    const socket = await plainSocket(server);
    socket.write(GREETING.subarray(0, 1 + (i % (GREETING.length - 1))));
    closed.push(closeOf(socket));
  }
  await waiting(server, 320);
  const good = await plainSocket(server);
  // In parts, as the network has it.
  good.write(GREETING.subarray(0, 3));
  await waiting(server, 321);
  good.write(GREETING.subarray(3));
  await eventually(() => tls.begun.length === 1, "it to be let in");
  expect(tls.begun[0]?.socket.remotePort).toBe(good.localPort);
  clock.advance(10_001);
  await Promise.all(closed);
  expect(server.waiting).toBe(0);
  expect(tls.givenUp).toEqual(Array<string>(320).fill("timeout"));
});

test("who stays in the handshake makes room for others, and goes on when he is done and they are", async () => {
  const clock = new ManualClock();
  const tls = new ManualGatekeeper();
  const server = await serve(async () => {}, { clock, admission: 1, tls });
  const slow = await plainSocket(server);
  slow.write(GREETING);
  await eventually(() => tls.begun.length === 1, "the first to be let in");
  clock.advance(9_000);
  const other = await plainSocket(server);
  other.write(GREETING);
  await waiting(server, 1);
  await eventually(() => clock.timers === 1, "it to have greeted");
  clock.advance(200);
  await eventually(() => tls.begun.length === 2, "the second to be let in");
  expect(slow.destroyed).toBe(false);
  tls.begun[1]?.finish();
  tls.begun[0]?.finish();
  // The greeting is no HTTP/2, which whoever speaks that says, as soon as it may.
  await Promise.all([closeOf(other), closeOf(slow)]);
  expect(tls.givenUp).toEqual([]);
});

test("a stream whose peer never reads is cut with its connection", async () => {
  let gone = false;
  let peer: Peer | undefined;
  const server = await serve(async (call, signal, who) => {
    peer = who;
    signal.addEventListener("abort", () => {
      gone = true;
    });
    const chunk = "x".repeat(60_000);
    for (;;)
      await sendMessage(
        call,
        { message: { case: "goodbye", value: { message: chunk } } },
        signal,
      );
  });
  // It reads nothing from the socket at all: what is sent stays in the kernel, and so would the end of the stream.
  const socket = await plainSocket(server, { reads: false });
  socket.write(requestOfAStream());
  await eventually(() => peer !== undefined, "the stream to be open");
  peer?.destroy();
  await eventually(() => gone, "the handler to be told");
  await server.close(60_000);
});

/** The first words of an HTTP/2 client that opens a stream of SyncService. */
function requestOfAStream(): Buffer {
  const literal = (name: string, value: string): Buffer =>
    Buffer.concat([
      Buffer.from([0x00, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]);
  const head = Buffer.concat([
    literal(":method", "POST"),
    literal(":scheme", "http"),
    literal(":path", "/holdfast.sync.v1.SyncService/Connect"),
    literal(":authority", "cp"),
    literal("content-type", "application/grpc"),
    literal("te", "trailers"),
  ]);
  const frame = (type: number, flags: number, id: number, payload: Buffer) => {
    const header = Buffer.alloc(9);
    header.writeUIntBE(payload.length, 0, 3);
    header.writeUInt8(type, 3);
    header.writeUInt8(flags, 4);
    header.writeUInt32BE(id, 5);
    return Buffer.concat([header, payload]);
  };
  const wide = Buffer.alloc(6);
  wide.writeUInt16BE(4, 0);
  wide.writeUInt32BE(0x7fffffff, 2);
  const more = Buffer.alloc(4);
  more.writeUInt32BE(0x7fff0000, 0);
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    // Windows as large as can be, so that it is the socket that is full and not they.
    frame(4, 0, 0, wide),
    frame(8, 0, 0, more),
    frame(1, 4, 1, head),
  ]);
}

test("a stop cuts whoever waits, and leaves nothing open", async () => {
  let served = false;
  const server = await serve(
    () => {
      served = true;
      return new Promise(() => {});
    },
    { admission: 1 },
  );
  const first = open(server);
  first.stream.resume();
  await eventually(() => served, "the first to be served");
  const second = await plainSocket(server);
  await waiting(server, 1);
  const closed = closeOf(second);
  await server.close(50);
  await closed;
  await first.ended;
  expect(server.waiting).toBe(0);
});
