import type {
  DownstreamConnection,
  DownstreamRequest,
} from "../downstream/message.ts";
import type { HeaderSettings } from "./header-settings.ts";
import { toldAddress } from "./trusted-proxies.ts";

/** What a trusted proxy says about the request that it passed on. Undefined: it does not say. */
export interface Forwarded {
  readonly clientAddress: string | undefined;
  readonly scheme: "http" | "https" | undefined;
  readonly host: string | undefined;
  readonly port: string | undefined;
  readonly path: string | undefined;
  readonly prefix: string | undefined;
  readonly requestId: string | undefined;
}

/** What is believed of a request's X-Forwarded-* headers; undefined when its connection is nobody's who is trusted. */
export function forwardedBy(
  request: DownstreamRequest,
  connection: DownstreamConnection,
  settings: HeaderSettings,
): Forwarded | undefined {
  const { trusted, realIpHeader, realIpRecursive, names } = settings;
  if (trusted?.has(connection.remoteAddress) !== true) return undefined;
  const { headersDistinct } = request;
  const first = (name: string): string | undefined =>
    headersDistinct[name]?.[0] ?? undefined;
  const scheme = first("x-forwarded-proto")?.toLowerCase();
  const port = first("x-forwarded-port");
  const requestId = first(names.requestId.toLowerCase());
  return {
    clientAddress: toldAddress(
      headersDistinct[realIpHeader] ?? [],
      trusted,
      realIpRecursive,
    ),
    scheme: scheme === "http" || scheme === "https" ? scheme : undefined,
    host: first("x-forwarded-host"),
    port: port !== undefined && /^\d{1,5}$/.test(port) ? port : undefined,
    path: first("x-forwarded-path"),
    prefix: first("x-forwarded-prefix"),
    requestId:
      requestId !== undefined && /^[\w.:-]{1,128}$/.test(requestId)
        ? requestId
        : undefined,
  };
}
