import { Code } from "@connectrpc/connect";
import type { HttpRequest, HttpResponse } from "./http-listener.ts";

/** How a call that is not served must be answered for its caller to understand. */
type Protocol = "grpc" | "grpc-web" | "connect";

const METHOD_PATH = /^\/(?<service>[\w.]*\w)\/(?<method>\w+)$/;

/**
 * Answers a call of a method that does not exist with UNIMPLEMENTED, in the caller's protocol. Returns false, having done
 * nothing, when the request is no call.
 */
export function refuseUnknownMethod(
  request: HttpRequest,
  response: HttpResponse,
  services: ReadonlySet<string>,
): boolean {
  const path = METHOD_PATH.exec(request.url?.split("?", 1)[0] ?? "")?.groups;
  const protocol = protocolOf(request);
  if (path === undefined || protocol === undefined) return false;
  const { service = "", method = "" } = path;
  const message = services.has(service)
    ? `service ${service} has no method ${method}`
    : `service ${service} is not served here; there are ${[...services].sort().join(", ")}`;
  if (protocol === "connect") {
    const body = JSON.stringify({ code: "unimplemented", message });
    response.statusCode = 404;
    response.setHeader("content-type", "application/json");
    response.end(body);
    return true;
  }
  // No body and no trailers: the status stands in the header ("trailers-only").
  response.statusCode = 200;
  response.setHeader("content-type", `application/${protocol}+proto`);
  response.setHeader("grpc-status", String(Code.Unimplemented));
  response.setHeader("grpc-message", encodeURIComponent(message));
  response.end();
  return true;
}

function protocolOf(request: HttpRequest): Protocol | undefined {
  const type = request.headers["content-type"] ?? "";
  if (type.startsWith("application/grpc-web")) return "grpc-web";
  if (type.startsWith("application/grpc")) return "grpc";
  if (/^application\/(?:connect\+|json\b|proto\b)/.test(type)) return "connect";
  return undefined;
}
