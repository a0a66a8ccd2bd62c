import type { Answer } from "../../plugins/plugin.ts";
import { isGrpc } from "../answers/grpc-status.ts";
import type { DownstreamRequest } from "../downstream/message.ts";
import type { ServedRoute } from "../runtime.ts";

/** The code that gRPC has for a call that was given up. */
const CANCELLED = "1";

/** The answer to a request that matched a route of gRPC, but is no call that this route serves. */
export function grpcMismatch(
  { grpc }: ServedRoute,
  request: DownstreamRequest,
  scheme: "http" | "https",
): Answer | undefined {
  if (grpc === undefined) return undefined;
  if (!isGrpc(request.headers["content-type"]))
    return { status: 415, message: "Non-gRPC request matched gRPC route" };
  if (request.httpVersion !== "2")
    return {
      status: 426,
      headers: { Connection: "Upgrade", Upgrade: "HTTP/2" },
      message: "Please use HTTP2 protocol",
    };
  if (grpc.secureOnly && scheme === "http")
    return {
      status: 200,
      headers: {
        "Content-Type": "application/grpc",
        "grpc-status": CANCELLED,
        "grpc-message": "gRPC request matched gRPCs route",
      },
    };
  return undefined;
}
