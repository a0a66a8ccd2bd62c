import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { once } from "node:events";
import {
  connect,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
} from "node:http2";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  PutRequestSchema,
  PutResponseSchema,
} from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";
import { resource } from "../../support/resources.ts";

const PUT = "/holdfast.admin.v1.ConfigService/Put";

let stack: CloseStack;
let server: AdminServer;
let client: ClientHttp2Session;
beforeEach(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
  client = connect(server.url);
  stack.defer(() => client.destroy());
});
afterEach(() => stack.close());

/** A message as gRPC sends it. */
function enveloped(message: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** A request to put a service with so many tags. */
function put(tags = 0): Buffer {
  const service = resource("service", {
    name: "pay",
    host: "pay.internal",
    tags: Array.from({ length: tags }, (_, i) => `tag-${i}`),
  });
  const request = create(PutRequestSchema, { resource: service });
  return enveloped(toBinary(PutRequestSchema, request));
}

interface Answer {
  readonly status: number;
  readonly said: string;
  readonly header: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Makes a call of these pieces, one after the other, and says how it ended. */
async function call(
  pieces: readonly Uint8Array[],
  header: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const stream = client.request({
    ":method": "POST",
    ":path": PUT,
    "content-type": "application/grpc+proto",
    te: "trailers",
    ...header,
  });
  const answer: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => void answer.push(chunk));
  const told = Promise.all([
    once(stream, "response") as Promise<[IncomingHttpHeaders]>,
    once(stream, "trailers") as Promise<[IncomingHttpHeaders]>,
    once(stream, "close"),
  ]);
  for (const piece of pieces) {
    stream.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  stream.end();
  const [[first], [trailer]] = await told;
  return {
    status: Number(trailer["grpc-status"]),
    said: decodeURIComponent(String(trailer["grpc-message"] ?? "")),
    header: first,
    body: Buffer.concat(answer),
  };
}

test("a message may come in any pieces", async () => {
  const bytes = put();
  const pieces = [...bytes].map((_, i) => bytes.subarray(i, i + 1));
  const { status, header, body } = await call(pieces);
  expect(status).toBe(0);
  expect(header["content-type"]).toBe("application/grpc+proto");
  expect(body.readUInt32BE(1)).toBe(body.length - 5);
  const answer = fromBinary(PutResponseSchema, body.subarray(5));
  expect(answer).toMatchObject({ revision: 1n, changes: [{ name: "pay" }] });
});

test.each([
  ["no message", [], {}, Code.Unimplemented],
  ["two messages", [put(), put()], {}, Code.Unimplemented],
  [
    "two messages in one piece",
    [Buffer.concat([put(), put()])],
    {},
    Code.Unimplemented,
  ],
  ["half a message", [put().subarray(0, -1)], {}, Code.InvalidArgument],
  ["half a prefix", [put().subarray(0, 3)], {}, Code.InvalidArgument],
  [
    "bytes that are no message",
    [enveloped(Buffer.from("\xff\xff"))],
    {},
    Code.Internal,
  ],
  [
    "a compressed message without a word about it",
    [enveloped(Buffer.from("x"), 1)],
    {},
    Code.Internal,
  ],
  [
    "a compression that nobody knows",
    [put()],
    { "grpc-encoding": "zip" },
    Code.Unimplemented,
  ],
  [
    "a deadline that is none",
    [put()],
    { "grpc-timeout": "soon" },
    Code.InvalidArgument,
  ],
] as const)(
  "a call with %s is refused, and changes nothing",
  async (_what, pieces, header, code) => {
    const { status, body } = await call(pieces, header);
    expect({ status, body: body.length }).toEqual({ status: code, body: 0 });
    expect(server.catalog.head.cursor.revision).toBe(0n);
  },
);

test.each([
  [
    "operations",
    Uint8Array.of(0x12, 0),
    20_001,
    "a request may have 20000 operations, and this one has 20001",
  ],
  [
    "fields that nobody knows",
    Uint8Array.of(0xc2, 0x3e, 0),
    250_001,
    "a request may hold 250000 messages and elements of lists in all, and this one has 250001",
  ],
])(
  "a message with too many %s is refused before it is decoded",
  async (_what, bytes, count, message) => {
    const body = Buffer.alloc(bytes.length * count, bytes);
    const { status, said } = await call([enveloped(body)], {
      ":path": "/holdfast.admin.v1.ConfigService/Transact",
    });
    expect(status).toBe(Code.ResourceExhausted);
    expect(said).toMatch(`${message}: make several requests of it`);
  },
);

test.each(["a:99999", "1.2.3.999", "[1]"])(
  "a call to %s is refused, as by every other protocol",
  async (authority) => {
    const stream = client.request({
      ":method": "POST",
      ":path": PUT,
      ":authority": authority,
      "content-type": "application/grpc+proto",
      te: "trailers",
    });
    const answer = once(stream, "response") as Promise<[IncomingHttpHeaders]>;
    stream.end(put());
    expect((await answer)[0][":status"]).toBe(400);
    stream.resume();
    expect(server.catalog.head.cursor.revision).toBe(0n);
  },
);

test("a long answer is compressed for who takes that, and a short one is not", async () => {
  const accepting = { "grpc-accept-encoding": "br, gzip" };
  const short = await call([put()], accepting);
  expect([short.status, short.body[0]]).toEqual([0, 0]);
  const long = await call([put(200)], accepting);
  expect(long.header["grpc-encoding"]).toBe("gzip");
  expect([long.status, long.body[0]]).toEqual([0, 1]);
  const answer = fromBinary(
    PutResponseSchema,
    gunzipSync(long.body.subarray(5)),
  );
  expect(answer.resource?.kind.value?.tags).toHaveLength(200);
  const plain = await call([put(100)]);
  expect(plain.header["grpc-encoding"]).toBeUndefined();
  expect([plain.status, plain.body[0]]).toEqual([0, 0]);
});
