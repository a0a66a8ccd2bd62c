import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PutRequestSchema } from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { PluginSchema } from "../../../src/gen/holdfast/config/v1/plugin_pb.js";
import { ResourceSchema } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";
import { RawConnection } from "../../support/raw-http.ts";

const GET = "/holdfast.admin.v1.ConfigService/Get";

let stack: CloseStack;
let server: AdminServer;
beforeEach(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
});
afterEach(() => stack.close());

async function raw(...pieces: string[]): Promise<string> {
  const connection = await RawConnection.open(server.address);
  stack.defer(() => connection.socket.destroy());
  await connection.write(...pieces);
  return connection.until(/\r\n\r\n/);
}

test.each([
  [
    "no Host",
    `POST ${GET} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
  ],
  [
    "a Host that is none",
    `POST ${GET} HTTP/1.1\r\nHost: a b\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
  ],
  [
    "a Host with a path",
    `POST ${GET} HTTP/1.1\r\nHost: :::\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
  ],
])(
  "a request with %s is a bad request and nothing more",
  async (_what, request) => {
    expect(await raw(request)).toMatch(/^HTTP\/1\.1 400/);
    expect((await fetch(`${server.url}/status/live`)).status).toBe(200);
  },
);

test.each([
  ["application/grpc", "\x00\x00\x00\x00\x05abc"],
  ["application/grpc-web+proto", "\x01\xff\xff\xff\xff"],
  ["application/connect+json", "\x00\x00\x00\x00\x02[]"],
  ["application/connect+proto", "\xff"],
  ["application/json", "[1,2]"],
  ["application/json", '"text"'],
  ["application/json", "[".repeat(100_000)],
  ["application/proto", "\xff\xff\xff"],
  ["text/plain", "hello"],
])("a body of %s that is garbage is refused", async (type, body) => {
  const answer = await fetch(`${server.url}${GET}`, {
    method: "POST",
    headers: { "content-type": type },
    body: Buffer.from(body, "latin1"),
  });
  await answer.text();
  expect((await fetch(`${server.url}/status/live`)).status).toBe(200);
  expect(server.errors).toEqual([]);
});

test.each(["application/json", "application/proto"])(
  "a plugin's config nested without end, as %s, is refused",
  async (type) => {
    const depth = 60_000;
    const body =
      type === "application/json"
        ? `{"resource":{"plugin":{"name":"cors","config":${'{"a":'.repeat(depth)}1${"}".repeat(depth)}}}}`
        : nestedStruct(depth);
    const answer = await fetch(
      `${server.url}/holdfast.admin.v1.ConfigService/Put`,
      { method: "POST", headers: { "content-type": type }, body },
    );
    const { code } = (await answer.json()) as { code: string };
    // What protobuf cannot decode is INTERNAL, by gRPC's custom.
    expect(["invalid_argument", "internal"]).toContain(code);
    expect(server.errors).toEqual([]);
  },
);

/** An encoded PutRequest whose plugin's config is as deep as that. */
function nestedStruct(depth: number): Uint8Array<ArrayBuffer> {
  // From the inside out, each part of the encoding put in front of what it holds.
  const pieces: Buffer[] = [];
  let length = 0;
  const wrap = (...head: number[]): void => {
    const size: number[] = [];
    for (let rest = length; ; rest >>>= 7) {
      size.push(rest > 127 ? (rest & 127) | 128 : rest);
      if (rest <= 127) break;
    }
    const piece = Buffer.from([...head, ...size]);
    pieces.push(piece);
    length += piece.length;
  };
  for (let i = 0; i < depth; i++) {
    // Value.struct_value, the entry of Struct.fields with the key "a", and the Struct's field itself.
    wrap(0x2a);
    wrap(0x0a, 0x01, 0x61, 0x12);
    wrap(0x0a);
  }
  const config = PluginSchema.field.config.number;
  wrap((config << 3) | 2);
  const plugin = ResourceSchema.fields.find((f) => f.name === "plugin")!;
  wrap((plugin.number << 3) | 2);
  wrap((PutRequestSchema.field.resource.number << 3) | 2);
  return Buffer.concat(pieces.reverse());
}

test("a client that leaves in the middle of its request costs nothing", async () => {
  for (let i = 0; i < 10; i++) {
    const connection = await RawConnection.open(server.address);
    await connection.write(
      `POST ${GET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"kind"`,
    );
    connection.socket.resetAndDestroy();
  }
  expect((await fetch(`${server.url}/status/live`)).status).toBe(200);
  expect(server.errors).toEqual([]);
});

test("a connection is used again after a request that was refused before it was whole", async () => {
  const connection = await RawConnection.open(server.address);
  stack.defer(() => connection.socket.destroy());
  const body = "x".repeat(5 << 20);
  connection.socket.write(
    `POST ${GET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  expect(await connection.until(/resource_exhausted/)).toMatch(
    /^HTTP\/1\.1 429/,
  );
  await connection.write("GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n");
  await connection.until(/"live":true/);
});

test("so it is when the size was not said beforehand", async () => {
  const connection = await RawConnection.open(server.address);
  stack.defer(() => connection.socket.destroy());
  connection.socket.write(
    `POST ${GET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
  for (let i = 0; i < 80; i++) connection.socket.write(chunk);
  connection.socket.write("0\r\n\r\n");
  await connection.until(/resource_exhausted/);
  await connection.write("GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n");
  await connection.until(/"live":true/);
});

test("an HTTP/2 client that goes on sending after its answer is told to stop", async () => {
  const client = connectHttp2(server.url);
  stack.defer(() => client.destroy());
  const stream = client.request({
    ":method": "POST",
    ":path": GET,
    "content-type": "application/grpc",
  });
  stream.resume();
  const closed = once(stream, "close");
  // The head of a message of 5 MiB, of which only the first bytes ever come.
  stream.write(Buffer.from([0, 0, 0x50, 0, 0, 1, 2, 3]));
  await closed;
  expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
});
