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
import type { HttpHandler, HttpResponse } from "./http-listener.ts";
import { callExplainingJson } from "./json-problems.ts";
import type { Logger } from "./logger.ts";
import { refuseUnknownMethod } from "./rpc-refusal.ts";

/** No message of an RPC may be larger, in either direction: what gRPC clients accept when nothing else is said. */
export const MAX_MESSAGE_BYTES = 4 << 20;

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
    callExplainingJson(handler, call, MAX_MESSAGE_BYTES)
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

function cut(response: HttpResponse): void {
  if ("stream" in response) response.stream.close(constants.NGHTTP2_CANCEL);
  else response.destroy();
}
