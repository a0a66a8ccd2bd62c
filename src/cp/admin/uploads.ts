import {
  fromBinary,
  type DescMessage,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  ApplyRequestSchema,
  OperationSchema,
  TransactRequestSchema,
  type ApplyRequest,
  type Operation,
  type TransactRequest,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type { Slices } from "../../model/slices.ts";
import { ConfigError } from "../../model/violation.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { enterCall } from "./caller.ts";

/** A request that comes in parts may have this many bytes in all. */
const MAX_UPLOAD_BYTES = 256 << 20;

/** What all requests that are coming in parts may have together: they are held until they are whole. */
const UPLOADS_BYTES = 512 << 20;
let uploadsBytes = 0;

/** Decoding one operation costs about as much as handling this many entries. */
const OPERATION_WEIGHT = 16;

/** A part of an encoded request. */
interface Part {
  readonly data: Uint8Array;
}

/** An ApplyRequest that came in parts. It is checked who may make it, as only now is known what it is about. */
export async function applyRequestOf(
  parts: AsyncIterable<Part>,
  call: HandlerContext,
): Promise<ApplyRequest> {
  // Few fields, all of them text: that decodes fast.
  const request = decoded(ApplyRequestSchema, await joined(parts));
  await enterCall(call, request);
  return request;
}

/**
 * A TransactRequest that came in parts, for whoever may make it. Its operations are decoded a few at a time: there may be
 * hundreds of thousands.
 */
export async function transactRequestOf(
  parts: AsyncIterable<Part>,
  call: HandlerContext,
): Promise<TransactRequest> {
  const { signal } = call;
  const request = await driveSlices(transactSlices(await joined(parts)), {
    signal,
  });
  await enterCall(call, request);
  return request;
}

async function joined(parts: AsyncIterable<Part>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const { data } of parts) {
      bytes += data.length;
      uploadsBytes += data.length;
      if (bytes > MAX_UPLOAD_BYTES)
        throw new ConfigError(
          "resource_exhausted",
          `a request in parts may have ${MAX_UPLOAD_BYTES} bytes in all; this one has more`,
        );
      if (uploadsBytes > UPLOADS_BYTES)
        throw new ConfigError(
          "resource_exhausted",
          "too many large requests are coming in at the same time: try again later",
        );
      all.push(data);
    }
    return Buffer.concat(all);
  } finally {
    uploadsBytes -= bytes;
  }
}

function* transactSlices(bytes: Uint8Array): Slices<TransactRequest> {
  const operationsField = TransactRequestSchema.field.operations.number;
  const operations: Operation[] = [];
  const others = new BinaryWriter();
  const reader = reading(() => new BinaryReader(bytes));
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, type] = reading(() => reader.tag());
    if (number === operationsField && type === WireType.LengthDelimited) {
      const operation = reading(() => reader.bytes());
      operations.push(decoded(OperationSchema, operation));
      yield OPERATION_WEIGHT;
    } else {
      reading(() => reader.skip(type, number));
      others.raw(bytes.subarray(start, reader.pos));
    }
  }
  const request = decoded(TransactRequestSchema, others.finish());
  request.operations = operations;
  return request;
}

function decoded<T extends DescMessage>(
  schema: T,
  bytes: Uint8Array,
): MessageShape<T> {
  return reading(() => fromBinary(schema, bytes));
}

/** What cannot be read was not written right: that is the caller's mistake. */
function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new ConfigError(
      "invalid_argument",
      `the parts, put together, are not an encoded request: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}
