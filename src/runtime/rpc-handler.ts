import {
  createRegistry,
  type DescFile,
  type DescMethod,
} from "@bufbuild/protobuf";
import {
  ConnectError,
  createConnectRouter,
  createServiceImplSpec,
  type ConnectRouter,
  type ContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type {
  UniversalHandler,
  UniversalServerRequest,
  UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import { setMaxListeners } from "node:events";
import { constants } from "node:http2";
import type { Clock } from "./clock.ts";
import type {
  HttpHandler,
  HttpRequest,
  HttpResponse,
} from "./http-listener.ts";
import { callExplainingJson, noteRead } from "./json-problems.ts";
import type { Logger } from "./logger.ts";
import { REQUEST_LIMITS, refuseLongLists } from "./request-limits.ts";
import { refuseUnknownMethod } from "./rpc-refusal.ts";
import {
  answerUnary,
  plainCall,
  type UnaryOptions,
  type UnarySpec,
} from "./unary-grpc.ts";

/** No message of an RPC may be larger, in either direction: what gRPC clients accept when nothing else is said. */
const MAX_MESSAGE_BYTES = 4 << 20;

/** Deadlines of clients may be this far away. */
const MAX_TIMEOUT_MS = 24 * 3_600_000;

/** A call that is let in. */
interface Admitted {
  /** What interceptors and handlers find in the call's context. */
  readonly values: ContextValues;
  /** Ends the call when aborted, with this reason. */
  readonly signal?: AbortSignal;
  /** Called when the call has ended, however. */
  readonly done: () => void;
}

/** Lets a call in, or says why not, by its head alone: nothing of its body is read before. */
type Admit = (
  request: HttpRequest,
  method: DescMethod,
) => Admitted | ConnectError;

export interface RpcHandlerOptions {
  /** Registers the services. */
  readonly routes: (router: ConnectRouter) => void;
  /** Answers requests that are no RPC. */
  readonly fallback: HttpHandler;
  /** When aborted, so are the calls that are under way, with this reason. */
  readonly shutdown: AbortSignal;
  readonly interceptors: Interceptor[];
  readonly admit: Admit;
  /** Files with the types of error details, which JSON shows in the clear. */
  readonly details: readonly DescFile[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Serves RPCs as gRPC, gRPC-Web and Connect over any HTTP version, and hands on what is no RPC. */
export function rpcHandler(options: RpcHandlerOptions): HttpHandler {
  // Not connectNodeAdapter: that writes to the console, and a request without a usable Host ends the process.
  // Every call that is under way listens: no leak, which Node would warn of from the eleventh on.
  setMaxListeners(0, options.shutdown);
  const router = createConnectRouter({
    shutdownSignal: options.shutdown,
    interceptors: [noteRead, refuseLongLists, ...options.interceptors],
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: MAX_MESSAGE_BYTES,
    maxTimeoutMs: MAX_TIMEOUT_MS,
    // Brotli at its default level takes longer than what it saves.
    acceptCompression: [compressionGzip],
    jsonOptions: {
      useProtoFieldName: true,
      ignoreUnknownFields: false,
      registry: createRegistry(...options.details),
    },
  });
  const unary = new Map<string, UnarySpec>();
  options.routes(noting(router, unary));
  const calls: UnaryOptions = {
    interceptors: options.interceptors,
    shutdown: options.shutdown,
    maxBytes: MAX_MESSAGE_BYTES,
    limits: REQUEST_LIMITS,
    maxTimeoutMs: MAX_TIMEOUT_MS,
  };
  const handlers = new Map(
    router.handlers.map((handler) => [handler.requestPath, handler]),
  );
  const services = new Set(
    router.handlers.map((handler) => handler.service.typeName),
  );

  return (request, response) => {
    const path = request.url?.split("?", 1)[0] ?? "";
    const handler = handlers.get(path);
    if (handler === undefined) {
      if (!refuseUnknownMethod(request, response, services))
        options.fallback(request, response);
      return;
    }
    const admission = options.admit(request, handler.method);
    const spec = unary.get(path);
    const plain =
      spec === undefined || admission instanceof ConnectError
        ? undefined
        : plainCall(request, response, calls);
    if (
      plain === undefined ||
      spec === undefined ||
      admission instanceof ConnectError
    ) {
      serve(handler, admission, request, response);
      return;
    }
    const { values, signal, done } = admission;
    answerUnary(plain, spec, { values, signal }, calls).then(
      (body) => {
        if (body === undefined) done();
        else serve(handler, admission, request, response, body);
      },
      (error: unknown) => {
        options.logger.debug("rpc.answer_not_written", {
          rpc: path,
          err: error,
        });
        cut(response);
        done();
      },
    );
  };

  function serve(
    handler: UniversalHandler,
    admission: Admitted | ConnectError,
    request: HttpRequest,
    response: HttpResponse,
    read?: AsyncIterable<Uint8Array>,
  ): void {
    const isAdmitted = !(admission instanceof ConnectError);
    let call;
    try {
      call = universalRequestFromNodeRequest(
        request,
        response,
        undefined,
        isAdmitted ? admission.values : undefined,
      );
    } catch {
      if (isAdmitted) admission.done();
      // Thrown for a Host that is missing or no host.
      response.statusCode = 400;
      response.setHeader("content-type", "text/plain");
      response.end("the Host header is missing or not a host\n");
      return;
    }
    // Leaving the loop over connect's own body would destroy the request, and with it a connection that still sends.
    const body =
      read ??
      (request.iterator({
        destroyOnReturn: false,
      }) as AsyncIterableIterator<Uint8Array>);
    letGo(request, response, options.clock);
    const answer = isAdmitted
      ? callExplainingJson(
          handler,
          { ...call, body, signal: bothOf(call.signal, admission.signal) },
          MAX_MESSAGE_BYTES,
        )
      : refuse(handler, call, admission);
    let isOver = false;
    const done = (): void => {
      if (isAdmitted && !isOver) admission.done();
      isOver = true;
    };
    answer
      .then((universal) =>
        universalResponseToNodeResponse(
          { ...universal, body: withEnd(universal.body, done) },
          response,
        ),
      )
      .catch((error: unknown) => {
        // Errors of calls are answers. This is about writing them, and mostly means that the client has left.
        options.logger.debug("rpc.answer_not_written", {
          rpc: handler.requestPath,
          err: error,
        });
        cut(response);
        done();
      });
  }
}

/** A router that notes what does the methods with one message each way. */
function noting(
  router: ConnectRouter,
  unary: Map<string, UnarySpec>,
): ConnectRouter {
  const noted: ConnectRouter = {
    handlers: router.handlers,
    service(service, implementation, options) {
      router.service(service, implementation, options);
      const { methods } = createServiceImplSpec(service, implementation);
      for (const spec of Object.values(methods))
        if (spec.kind === "unary")
          unary.set(`/${service.typeName}/${spec.method.name}`, spec);
      return noted;
    },
    rpc: router.rpc.bind(router),
  };
  return noted;
}

/**
 * Answers a call that is not let in as its protocol spells errors. The protocol finds the error where it would find the
 * request: nothing of the request itself is read. One in a URL becomes one in a body, for that.
 */
async function refuse(
  handler: UniversalHandler,
  call: UniversalServerRequest,
  error: ConnectError,
): Promise<UniversalServerResponse> {
  const isGet = call.method === "GET";
  const header = new Headers(call.header);
  if (isGet) header.set("content-type", "application/json");
  // Whatever its form would be refused for does not matter.
  for (const name of [...header.keys()])
    if (/^content-(?:length|encoding)$|^connect-content-encoding$/.test(name))
      header.delete(name);
  const answer = await handler({
    ...call,
    method: isGet ? "POST" : call.method,
    header,
    body: failing(error),
  });
  if (answer.status === 401) answer.header?.set("www-authenticate", "Bearer");
  return answer;
}

// eslint-disable-next-line require-yield
async function* failing(error: ConnectError): AsyncGenerator<Uint8Array> {
  throw error;
}

function bothOf(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other === undefined ? one : AbortSignal.any([one, other]);
}

/**
 * Ends a request that is still sent when it is answered already: HTTP/1.1 reads on and throws away, so that its connection
 * can be used again; HTTP/2 tells the client to stop, a moment later, so that it has the answer by then.
 */
function letGo(
  request: HttpRequest,
  response: HttpResponse,
  clock: Clock,
): void {
  if (!("stream" in response)) {
    response.once("finish", () => {
      if (!request.complete) request.resume();
    });
    return;
  }
  const { stream } = response;
  stream.once("finish", () => {
    request.resume();
    const stop = clock.setTimer(LINGER_MS, () => {
      stream.close(constants.NGHTTP2_NO_ERROR);
    });
    stream.once("close", () => {
      stop.cancel();
    });
  });
}

/** How long an HTTP/2 client may go on sending after its answer. */
const LINGER_MS = 250;

/**
 * A body that says when it has been taken, or nobody goes on with it: methods do their work while their answer is read.
 * The promise of whoever writes it is no sign of that, as it may never settle.
 */
async function* withEnd(
  body: AsyncIterable<Uint8Array> | undefined,
  onEnd: () => void,
): AsyncGenerator<Uint8Array> {
  try {
    if (body !== undefined) yield* body;
  } finally {
    onEnd();
  }
}

function cut(response: HttpResponse): void {
  if ("stream" in response) response.stream.close(constants.NGHTTP2_CANCEL);
  else response.destroy();
}
