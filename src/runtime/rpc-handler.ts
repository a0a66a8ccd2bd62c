import { createRegistry, type DescFile } from "@bufbuild/protobuf";
import {
  createConnectRouter,
  type ConnectRouter,
  type Interceptor,
} from "@connectrpc/connect";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { constants } from "node:http2";
import type { Clock } from "./clock.ts";
import type {
  HttpHandler,
  HttpRequest,
  HttpResponse,
} from "./http-listener.ts";
import { callExplainingJson } from "./json-problems.ts";
import type { Logger } from "./logger.ts";
import { refuseUnknownMethod } from "./rpc-refusal.ts";

/** No message of an RPC may be larger, in either direction: what gRPC clients accept when nothing else is said. */
const MAX_MESSAGE_BYTES = 4 << 20;

/** Deadlines of clients may be this far away. */
const MAX_TIMEOUT_MS = 24 * 3_600_000;

export interface RpcHandlerOptions {
  /** Registers the services. */
  readonly routes: (router: ConnectRouter) => void;
  /** Answers requests that are no RPC. */
  readonly fallback: HttpHandler;
  /** When aborted, so are the calls that are under way, with this reason. */
  readonly shutdown: AbortSignal;
  readonly interceptors: Interceptor[];
  /** Files with the types of error details, which JSON shows in the clear. */
  readonly details: readonly DescFile[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Serves RPCs as gRPC, gRPC-Web and Connect over any HTTP version, and hands on what is no RPC. */
export function rpcHandler(options: RpcHandlerOptions): HttpHandler {
  // Not connectNodeAdapter: that writes to the console, and a request without a usable Host ends the process.
  const router = createConnectRouter({
    shutdownSignal: options.shutdown,
    interceptors: options.interceptors,
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
  options.routes(router);
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
    let call;
    try {
      call = universalRequestFromNodeRequest(
        request,
        response,
        undefined,
        undefined,
      );
    } catch {
      // Thrown for a Host that is missing or no host.
      response.statusCode = 400;
      response.setHeader("content-type", "text/plain");
      response.end("the Host header is missing or not a host\n");
      return;
    }
    // Leaving the loop over connect's own body would destroy the request, and with it a connection that still sends.
    const body = request.iterator({
      destroyOnReturn: false,
    }) as AsyncIterableIterator<Uint8Array>;
    letGo(request, response, options.clock);
    callExplainingJson(handler, { ...call, body }, MAX_MESSAGE_BYTES)
      .then((answer) => universalResponseToNodeResponse(answer, response))
      .catch((error: unknown) => {
        // Errors of calls are answers. This is about writing them, and mostly means that the client has left.
        options.logger.debug("rpc.answer_not_written", {
          rpc: path,
          err: error,
        });
        cut(response);
      });
  };
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

function cut(response: HttpResponse): void {
  if ("stream" in response) response.stream.close(constants.NGHTTP2_CANCEL);
  else response.destroy();
}
