import type { Answer } from "../../plugins/plugin.ts";
import { LIMITS } from "../downstream/limits.ts";
import type { DownstreamRequest } from "../downstream/message.ts";
import { isReadable, type RequestTarget } from "../proxy/inbound.ts";
import type { Reason } from "./reason.ts";

/** What the gateway answers itself, and why. */
export interface OwnAnswer {
  readonly answer: Answer;
  readonly reason: Reason;
}

const BAD_REQUEST = own(400, "Bad request", "bad-request");
const TOO_MANY_HEADERS = own(
  400,
  "Request header or cookie too large",
  "bad-request",
);
const METHOD_NOT_ALLOWED = own(405, "Method not allowed", "method-not-allowed");
const URI_TOO_LONG = own(414, "URI too long", "uri-too-long");
const EXPECTATION_FAILED = own(417, "Expectation failed", "expectation");

export const NO_CONFIGURATION = own(
  503,
  "no configuration yet: this data plane has not heard from a control plane",
  "no-configuration",
);
export const NO_ROUTE = own(
  404,
  "no Route matched with those values",
  "no-route",
);
export const NO_SERVICE = own(
  503,
  "no Service found with those values",
  "no-service",
);

function own(status: number, message: string, reason: Reason): OwnAnswer {
  return { answer: { status, message }, reason };
}

/** The answer to a request that is refused whatever the configuration; undefined for none. */
export function refusalOf(
  request: DownstreamRequest,
  target: RequestTarget | undefined,
): OwnAnswer | undefined {
  if (target === undefined || !isReadable(request)) return BAD_REQUEST;
  if (request.rawHeaders.length > 2 * LIMITS.headers) return TOO_MANY_HEADERS;
  if ((request.url?.length ?? 0) > LIMITS.uriLength) return URI_TOO_LONG;
  const { expect } = request.headers;
  if (expect !== undefined && expect.toLowerCase() !== "100-continue")
    return EXPECTATION_FAILED;
  // It would repeat to the client what proxies on the way have added.
  if (request.method === "TRACE") return METHOD_NOT_ALLOWED;
  return undefined;
}
