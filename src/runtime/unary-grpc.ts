import {
  fromBinary,
  type DescMessage,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createHandlerContext,
  type ContextValues,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
} from "@connectrpc/connect";
import { invokeUnaryImplementation } from "@connectrpc/connect/protocol";
import {
  contentTypeProto,
  grpcStatusOk,
  headerContentType,
  headerGrpcStatus,
  parseTimeout,
  setTrailerStatus,
} from "@connectrpc/connect/protocol-grpc";
import {
  constants,
  Http2ServerRequest,
  Http2ServerResponse,
  type OutgoingHttpHeaders,
} from "node:http2";
import { refuseHeavy, type MessageLimits } from "../model/message-limits.ts";
import { decodeSlices, encodeSlices } from "../model/message-slices.ts";
import { weightSlices } from "../model/message-weight.ts";
import { ConfigError } from "../model/violation.ts";
import { enveloped, oneMessage } from "./grpc-envelope.ts";
import type { HttpRequest, HttpResponse } from "./http-listener.ts";
import { driveSlices } from "./slices.ts";

/** A method with one message each way, and what does it. */
export type UnarySpec = MethodImplSpec & { readonly kind: "unary" };

/** How calls are treated. */
export interface UnaryOptions {
  readonly interceptors: Interceptor[];
  /** When aborted, so are the calls that are under way, with this reason. */
  readonly shutdown: AbortSignal;
  /** No message may be larger, in either direction. */
  readonly maxBytes: number;
  /** What a request may hold. */
  readonly limits: MessageLimits;
  readonly maxTimeoutMs: number;
}

/** A call of a method with one message each way, in the plain form of gRPC: over HTTP/2, in protobuf, not compressed. */
interface PlainCall {
  readonly request: Http2ServerRequest;
  readonly response: Http2ServerResponse;
  /** Absent: there is no deadline. */
  readonly timeoutMs: number | undefined;
}

/** Messages up to this size are decoded in one step, whatever they hold. */
const STEP_BYTES = 32 << 10;

/** What a call is aborted with when it is over: nobody hears of it. Made once, as that is not cheap. */
const OVER = new ConnectError("the call is over", Code.Canceled);

/** The call that a request makes, when it has the plain form; undefined when it has not. */
export function plainCall(
  request: HttpRequest,
  response: HttpResponse,
  { maxTimeoutMs }: UnaryOptions,
): PlainCall | undefined {
  if (
    !(request instanceof Http2ServerRequest) ||
    !(response instanceof Http2ServerResponse) ||
    request.method !== "POST" ||
    !PLAIN_TYPE.test(request.headers["content-type"] ?? "") ||
    !isAuthority(request.authority)
  )
    return undefined;
  const encoding = request.headers["grpc-encoding"] ?? "identity";
  const timeout = request.headers["grpc-timeout"] ?? null;
  if (encoding !== "identity" || Array.isArray(timeout)) return undefined;
  const { timeoutMs, error } = parseTimeout(timeout, maxTimeoutMs);
  return error === undefined ? { request, response, timeoutMs } : undefined;
}

const PLAIN_TYPE = /^application\/grpc(?:\+proto)?$/i;

/** A name or an address, with or without a port. */
const AUTHORITY = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?$/i;

/** Whether connect takes it too. Despite its type it is undefined for a request without one. */
function isAuthority(authority: unknown): boolean {
  return (
    typeof authority === "string" &&
    AUTHORITY.test(authority) &&
    URL.canParse(`http://${authority}`)
  );
}

/**
 * Answers a call, as connect does, with less work: there, each message goes through a chain of iterators that are made for
 * streams. Large messages are decoded and encoded in turns, so that others get the event loop in between.
 *
 * @returns The body, from its beginning, when that is not one whole message: nothing is answered then.
 */
export async function answerUnary(
  { request, response, timeoutMs }: PlainCall,
  spec: UnarySpec,
  call: {
    readonly values: ContextValues;
    readonly signal: AbortSignal | undefined;
  },
  options: UnaryOptions,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const { method } = spec;
  const context = createHandlerContext({
    method,
    service: method.parent,
    protocolName: "grpc",
    requestMethod: "POST",
    url: `${request.scheme}://${request.authority}${request.url}`,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    shutdownSignal: options.shutdown,
    requestSignal: signalOf(request, call.signal),
    requestHeader: headerOf(request),
    responseHeader: { [headerContentType]: contentTypeProto },
    responseTrailer: { [headerGrpcStatus]: grpcStatusOk },
    contextValues: call.values,
  });
  try {
    const body = request.iterator({
      destroyOnReturn: false,
    }) as AsyncIterableIterator<Uint8Array>;
    const read: Uint8Array[] = [];
    const bytes = await oneMessage(body, read, options.maxBytes);
    const message =
      bytes === undefined
        ? undefined
        : await decoded(method.input, bytes, options.limits);
    if (message === undefined) return replayed(read, body);
    const answer =
      message instanceof ConnectError
        ? refused(context, message)
        : await answered(spec, context, message, options);
    if (!response.stream.destroyed) send(response, context, answer);
    return undefined;
  } finally {
    context.abort(OVER);
  }
}

/** Aborted when the client leaves, or may not go on. */
function signalOf(
  request: Http2ServerRequest,
  other: AbortSignal | undefined,
): AbortSignal {
  const controller = new AbortController();
  request.once("close", () => {
    controller.abort(reasonOf(request.stream.rstCode));
  });
  const follow = (): void => {
    controller.abort(other?.reason);
  };
  if (other?.aborted === true) follow();
  else other?.addEventListener("abort", follow, { once: true });
  return controller.signal;
}

function reasonOf(reset: number | undefined): ConnectError {
  const code = CODES.get(reset ?? constants.NGHTTP2_NO_ERROR);
  return code === undefined
    ? OVER
    : new ConnectError(`http/2 stream closed with error code ${reset}`, code);
}

/** What it means that a client resets its stream. */
const CODES: ReadonlyMap<number, Code> = new Map([
  [constants.NGHTTP2_CANCEL, Code.Canceled],
  [constants.NGHTTP2_REFUSED_STREAM, Code.Unavailable],
  [constants.NGHTTP2_ENHANCE_YOUR_CALM, Code.ResourceExhausted],
  [constants.NGHTTP2_INADEQUATE_SECURITY, Code.PermissionDenied],
  [constants.NGHTTP2_HTTP_1_1_REQUIRED, Code.PermissionDenied],
  [constants.NGHTTP2_PROTOCOL_ERROR, Code.Internal],
  [constants.NGHTTP2_INTERNAL_ERROR, Code.Internal],
  [constants.NGHTTP2_FLOW_CONTROL_ERROR, Code.Internal],
  [constants.NGHTTP2_SETTINGS_TIMEOUT, Code.Internal],
  [constants.NGHTTP2_FRAME_SIZE_ERROR, Code.Internal],
  [constants.NGHTTP2_COMPRESSION_ERROR, Code.Internal],
  [constants.NGHTTP2_CONNECT_ERROR, Code.Internal],
]);

function headerOf({ headers }: Http2ServerRequest): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith(":") || value === undefined
      ? []
      : [value].flat().map((one): [string, string] => [name, one]),
  );
}

/** The message, or why it is not decoded; undefined when these are not the bytes of one. */
async function decoded<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
  limits: MessageLimits,
): Promise<MessageShape<Desc> | ConnectError | undefined> {
  try {
    if (bytes.length <= STEP_BYTES) return fromBinary(schema, bytes);
    refuseHeavy(await driveSlices(weightSlices(schema, bytes)), limits);
    return await driveSlices(decodeSlices(schema, bytes));
  } catch (error) {
    return error instanceof ConfigError
      ? new ConnectError(error.message, Code.ResourceExhausted)
      : undefined;
  }
}

async function* replayed(
  read: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* read;
  yield* rest;
}

/** Calls the method. What it throws ends up in the trailer. */
async function answered(
  spec: UnarySpec,
  context: HandlerContext,
  message: MessageShape<DescMessage>,
  options: UnaryOptions,
): Promise<Buffer | undefined> {
  const { interceptors, maxBytes } = options;
  try {
    const output = await invokeUnaryImplementation(
      spec,
      context,
      message,
      interceptors,
    );
    const parts = await driveSlices(encodeSlices(spec.method.output, output));
    return await enveloped(parts, context, maxBytes);
  } catch (error) {
    return refused(
      context,
      error instanceof ConnectError
        ? error
        : new ConnectError("internal error", Code.Internal),
    );
  }
}

/** No answer but the error, in the trailer. */
function refused(
  { responseTrailer }: HandlerContext,
  error: ConnectError,
): Buffer | undefined {
  setTrailerStatus(responseTrailer, error);
  return undefined;
}

function send(
  response: Http2ServerResponse,
  { responseHeader, responseTrailer }: HandlerContext,
  body: Buffer | undefined,
): void {
  response.writeHead(200, plain(responseHeader));
  response.addTrailers(plain(responseTrailer));
  if (body === undefined) response.end();
  else response.end(body);
}

function plain(headers: Headers): OutgoingHttpHeaders {
  const all: OutgoingHttpHeaders = {};
  headers.forEach((value, name) => {
    all[name] = value;
  });
  return all;
}
