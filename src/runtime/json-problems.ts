import type { DescMethod, JsonValue } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import { errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import type {
  UniversalHandler,
  UniversalServerRequest,
  UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import { BadRequestSchema } from "../gen/google/rpc/error_details_pb.js";
import { readJson } from "../model/json-form.ts";
import { ConfigError } from "../model/violation.ts";

/** Whether the body of a call has become a message: whatever is refused from then on is not about its JSON. */
const wasRead = createContextKey(false);

/** Notes for {@link callExplainingJson} that the body of a call could be read. To stand before all others. */
export const noteRead: Interceptor = (next) => (request) => {
  request.contextValues.set(wasRead, true);
  return next(request);
};

/**
 * Calls a method. When the body of the call is JSON that its message cannot be read from, the answer names everything that
 * is wrong with it, as with any other mistake; the protocol's own stops at the first, and is no google.rpc.BadRequest.
 */
export async function callExplainingJson(
  handler: UniversalHandler,
  call: UniversalServerRequest,
  maxBytes: number,
): Promise<UniversalServerResponse> {
  if (!isUnaryJson(handler.method, call)) return handler(call);
  const read: Uint8Array[] = [];
  const contextValues = call.contextValues ?? createContextValues();
  const answer = await handler({
    ...call,
    contextValues,
    body: recorded(call.body, read, maxBytes),
  });
  if (answer.status !== BAD_REQUEST || contextValues.get(wasRead))
    return answer;
  const error = explain(handler.method, Buffer.concat(read));
  if (error === undefined) return answer;
  return {
    status: BAD_REQUEST,
    header: new Headers({ "content-type": "application/json" }),
    body: one(errorToJsonBytes(error, { useProtoFieldName: true })),
  };
}

const BAD_REQUEST = 400;

function isUnaryJson(
  method: DescMethod,
  call: UniversalServerRequest,
): call is UniversalServerRequest & { body: AsyncIterable<Uint8Array> } {
  return (
    method.methodKind === "unary" &&
    call.method === "POST" &&
    /^application\/json\b/.test(call.header.get("content-type") ?? "") &&
    (call.header.get("content-encoding") ?? "identity") === "identity" &&
    typeof call.body === "object" &&
    call.body !== null &&
    Symbol.asyncIterator in call.body
  );
}

async function* recorded(
  body: AsyncIterable<Uint8Array>,
  into: Uint8Array[],
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    // What is too large is refused for that.
    if (bytes <= maxBytes) into.push(chunk);
    yield chunk;
  }
}

async function* one(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  yield chunk;
}

function explain(method: DescMethod, bytes: Buffer): ConnectError | undefined {
  let json: JsonValue;
  try {
    json = JSON.parse(bytes.toString("utf8")) as JsonValue;
  } catch {
    // The syntax is wrong: the protocol's own answer says where.
    return undefined;
  }
  const read = readJson(method.input, json);
  if (read.ok) return undefined;
  const { message } = ConfigError.of(
    "invalid_argument",
    read.problems.map((problem) => ({ kind: "", name: "", ...problem })),
  );
  return new ConnectError(message, Code.InvalidArgument, undefined, [
    {
      desc: BadRequestSchema,
      value: {
        fieldViolations: read.problems.map(({ field, reason }) => ({
          field,
          description: reason,
        })),
      },
    },
  ]);
}
