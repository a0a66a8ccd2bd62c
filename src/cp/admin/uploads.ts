import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import {
  ApplyRequestSchema,
  TransactRequestSchema,
  type ApplyRequest,
  type TransactRequest,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { refuseHeavy, type MessageLimits } from "../../model/message-limits.ts";
import { decodeSlices } from "../../model/message-slices.ts";
import {
  OBJECT_BYTES,
  weightSlices,
  type Weight,
} from "../../model/message-weight.ts";
import type { Slices } from "../../model/slices.ts";
import { ConfigError } from "../../model/violation.ts";
import type { Clock } from "../../runtime/clock.ts";
import { paced } from "../../runtime/paced.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { checkCall, enterCall, uploadOwnerOf } from "./caller.ts";
import type { UploadBudget, UploadShare } from "./upload-budget.ts";

/** A request that comes in parts may have this many bytes in all. */
const MAX_UPLOAD_BYTES = 256 << 20;

/** A request of which nothing has come for so long is given up. */
const IDLE_MS = 30_000;

/** What it may hold. How much it is in all is up to the budget. */
const LIMITS: MessageLimits = {
  list: 100_000,
  objects: Infinity,
  advice: "make several requests of it, or apply it as a file",
};

/** A part of an encoded request. */
interface Part {
  readonly data: Uint8Array;
}

/** What receiving needs. */
export interface UploadDeps {
  readonly clock: Clock;
  readonly budget: UploadBudget;
}

/** An ApplyRequest that came in parts, for whoever may make it. */
export function applyRequestOf(
  parts: AsyncIterable<Part>,
  call: HandlerContext,
  deps: UploadDeps,
): Promise<ApplyRequest> {
  return received(ApplyRequestSchema, parts, call, deps);
}

/** A TransactRequest that came in parts, for whoever may make it. */
export function transactRequestOf(
  parts: AsyncIterable<Part>,
  call: HandlerContext,
  deps: UploadDeps,
): Promise<TransactRequest> {
  return received(TransactRequestSchema, parts, call, deps);
}

/**
 * Puts the parts together and reads them. Only now is known what the request is about: whether the caller may make it is
 * checked as soon as it can be, before its lists are decoded, which takes the most memory. However that ends, what was
 * held is given back.
 */
async function received<Desc extends DescMessage>(
  schema: Desc,
  parts: AsyncIterable<Part>,
  call: HandlerContext,
  { clock, budget }: UploadDeps,
): Promise<MessageShape<Desc>> {
  const share = budget.share(uploadOwnerOf(call));
  try {
    const bytes = await joined(parts, call, { clock, share });
    const drive = <T>(work: Slices<T>): Promise<T> =>
      driveSlices(reading(work), { signal: call.signal });
    const weight = await drive(weightSlices(schema, bytes));
    refuseHeavy(weight, LIMITS);
    charge(share, weight);
    const head = await drive(headSlices(schema, bytes));
    checkCall(call, await drive(decodeSlices(schema, head)));
    const request = await drive(decodeSlices(schema, bytes));
    await enterCall(call, request);
    return request;
  } finally {
    share.release();
  }
}

async function joined(
  parts: AsyncIterable<Part>,
  { signal }: HandlerContext,
  { clock, share }: { readonly clock: Clock; readonly share: UploadShare },
): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  const idle = (): ConfigError =>
    new ConfigError(
      "resource_exhausted",
      `nothing more of this request has come for ${IDLE_MS / 1000} s, so the ${share.bytes} bytes that had come were given up, to have room for others: send it again, one part right after the other`,
    );
  const pace = { clock, idleMs: IDLE_MS, idle, signal };
  for await (const { data } of paced(parts, pace)) {
    if (share.bytes + data.length > MAX_UPLOAD_BYTES)
      throw new ConfigError(
        "resource_exhausted",
        `a request in parts may have ${MAX_UPLOAD_BYTES} bytes in all; this one has more`,
      );
    share.take(data.length);
    all.push(data);
  }
  return Buffer.concat(all);
}

/** Takes room for what decoding makes of a request. */
function charge(share: UploadShare, { objects }: Weight): void {
  const decoded = objects * OBJECT_BYTES;
  const bytes = share.bytes + decoded;
  if (bytes > MAX_UPLOAD_BYTES)
    throw new ConfigError(
      "resource_exhausted",
      `a request in parts may take ${MAX_UPLOAD_BYTES} bytes of memory, and this one takes ${bytes}, as it holds ${objects} messages and elements of lists: ${LIMITS.advice}`,
    );
  share.take(decoded);
}

/** The bytes of a message without its lists of messages, and without what nobody knows. */
function* headSlices(
  schema: DescMessage,
  bytes: Uint8Array,
): Slices<Uint8Array> {
  const fields = new Set(
    schema.fields
      .filter(({ fieldKind }) => fieldKind === "scalar")
      .map((field) => field.number),
  );
  const head: Uint8Array[] = [];
  const reader = new BinaryReader(bytes);
  // Fields in a row are one part: there may be any number.
  let from = 0;
  let to = 0;
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, type] = reader.tag();
    reader.skip(type, number);
    if (fields.has(number)) {
      if (to !== start) {
        head.push(bytes.subarray(from, to));
        from = start;
      }
      to = reader.pos;
    }
    yield 1;
  }
  head.push(bytes.subarray(from, to));
  return Buffer.concat(head);
}

/** What cannot be read was not written right: that is the caller's mistake. */
function* reading<T>(work: Slices<T>): Slices<T> {
  try {
    return yield* work;
  } catch (error) {
    throw new ConfigError(
      "invalid_argument",
      `the parts, put together, are not an encoded request: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}
