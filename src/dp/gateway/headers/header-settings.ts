import type { MutableHeaders } from "../../plugins/plugin.ts";
import { TrustedProxies } from "./trusted-proxies.ts";

/** What an operator may say about the headers that the gateway reads and writes. All of it is plain data. */
export interface HeaderOptions {
  /**
   * Addresses and ranges of proxies in front, whose X-Forwarded-*, request id and {@link realIpHeader} are believed.
   * Default: none.
   */
  readonly trustedIps?: readonly string[];
  /** Where they say the client's address. Default: X-Real-IP. */
  readonly realIpHeader?: string;
  /** Whether trusted addresses in that header are passed over. Default: false. */
  readonly realIpRecursive?: boolean;
  /** Whether the gateway's own headers are named X-Kong-*. Default: X-Holdfast-*. */
  readonly kongNames?: boolean;
  /** Whether answers name the revision of the configuration that made them. Default: false. */
  readonly revision?: boolean;
  /** Whether answers tell the status that the upstream gave. Default: false. */
  readonly upstreamStatus?: boolean;
  /** Whether a request with "Kong-Debug: 1" is told its route and service. Default: false. */
  readonly debug?: boolean;
}

/** How the gateway's own headers are named. */
interface HeaderNames {
  readonly requestId: string;
  readonly proxyLatency: string;
  readonly upstreamLatency: string;
  readonly responseLatency: string;
  readonly upstreamStatus: string;
}

/** The gateway's own headers of an answer. */
export interface OwnHeaders {
  readonly names: HeaderNames;
  /** Whether the upstream's status is told. */
  readonly upstreamStatus: boolean;
  /** Adds what else this answer is to tell; undefined for nothing. */
  readonly tell: ((headers: MutableHeaders) => void) | undefined;
}

/** {@link HeaderOptions}, read. */
export interface HeaderSettings {
  readonly names: HeaderNames;
  /** Undefined when nobody is trusted. */
  readonly trusted: TrustedProxies | undefined;
  /** In lower case. */
  readonly realIpHeader: string;
  readonly realIpRecursive: boolean;
  /** Of an answer that nothing special is told with. */
  readonly plain: OwnHeaders;
  readonly revision: boolean;
  readonly debug: boolean;
}

/** @throws TypeError when a trusted address is none. */
export function headerSettings({
  trustedIps = [],
  realIpHeader = "X-Real-IP",
  realIpRecursive = false,
  kongNames = false,
  revision = false,
  upstreamStatus = false,
  debug = false,
}: HeaderOptions = {}): HeaderSettings {
  const names = namesWith(kongNames ? "X-Kong" : "X-Holdfast");
  return {
    names,
    plain: { names, upstreamStatus, tell: undefined },
    trusted:
      trustedIps.length === 0 ? undefined : new TrustedProxies(trustedIps),
    realIpHeader: realIpHeader.toLowerCase(),
    realIpRecursive,
    revision,
    debug,
  };
}

function namesWith(prefix: string): HeaderNames {
  return {
    requestId: `${prefix}-Request-Id`,
    proxyLatency: `${prefix}-Proxy-Latency`,
    upstreamLatency: `${prefix}-Upstream-Latency`,
    responseLatency: `${prefix}-Response-Latency`,
    upstreamStatus: `${prefix}-Upstream-Status`,
  };
}
