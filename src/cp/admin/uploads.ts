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
import type { Clock } from "../../runtime/clock.ts";
import { paced } from "../../runtime/paced.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { enterCall, uploadOwnerOf } from "./caller.ts";
import type { UploadBudget } from "./upload-budget.ts";

/** A request that comes in parts may have this many bytes in all. */
const MAX_UPLOAD_BYTES = 256 << 20;

/** A request of which nothing has come for so long is given up. */
const IDLE_MS = 30_000;

/** Decoding one operation costs about as much as handling this many entries. */
const OPERATION_WEIGHT = 16;

/** A part of an encoded request. */
interface Part {
  readonly data: Uint8Array;
}

/** What receiving needs. */
export interface UploadDeps {
  readonly clock: Clock;
  readonly budget: UploadBudget;
}

/** An ApplyRequest that came in parts. It is checked who may make it, as only now is known what it is about. */
export async function applyRequestOf(
  parts: AsyncIterable<Part>,
  call: HandlerContext,
  deps: UploadDeps,
): Promise<ApplyRequest> {
  const request = await received(parts, call, deps, (bytes) =>
    // Few fields, all of them text: that decodes fast.
    decoded(ApplyRequestSchema, bytes),
  );
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
  deps: UploadDeps,
): Promise<TransactRequest> {
  const { signal } = call;
  const request = await received(parts, call, deps, (bytes) =>
    driveSlices(transactSlices(bytes), { signal }),
  );
  await enterCall(call, request);
  return request;
}

/** Puts the parts together and reads them. However that ends, what they held is given back. */
async function received<T>(
  parts: AsyncIterable<Part>,
  call: HandlerContext,
  { clock, budget }: UploadDeps,
  read: (bytes: Uint8Array) => T | Promise<T>,
): Promise<T> {
  const share = budget.share(uploadOwnerOf(call));
  try {
    const all: Uint8Array[] = [];
    const idle = (): ConfigError =>
      new ConfigError(
        "resource_exhausted",
        `nothing more of this request has come for ${IDLE_MS / 1000} s, so the ${share.bytes} bytes that had come were given up, to have room for others: send it again, one part right after the other`,
      );
    const pace = { clock, idleMs: IDLE_MS, idle, signal: call.signal };
    for await (const { data } of paced(parts, pace)) {
      if (share.bytes + data.length > MAX_UPLOAD_BYTES)
        throw new ConfigError(
          "resource_exhausted",
          `a request in parts may have ${MAX_UPLOAD_BYTES} bytes in all; this one has more`,
        );
      share.take(data.length);
      all.push(data);
    }
    return await read(Buffer.concat(all));
  } finally {
    share.release();
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
