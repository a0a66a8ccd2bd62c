import type { JsonObject } from "@bufbuild/protobuf";

/** Headers by name in lower case; those that came more than once as a list. */
export type LoggedHeaders = Readonly<
  Record<string, string | readonly string[]>
>;

/** What the client asked. */
export interface LoggedRequest {
  readonly method: string;
  readonly scheme: "http" | "https";
  /** "1.1", "2.0" */
  readonly httpVersion: string;
  /** The path and query as they were sent. */
  readonly uri: string;
  /** With scheme, host and port. */
  readonly url: string;
  /** The Host header as it was sent. */
  readonly host: string;
  /** Empty when it says none. */
  readonly userAgent: string;
  /** Bytes of its line, headers and body, as far as the body was read. */
  readonly size: number;
  /** Of these, the body's. */
  readonly bodySize: number;
  readonly headers: LoggedHeaders;
  readonly querystring: Readonly<Record<string, string | readonly string[]>>;
}

/** What the client was answered. */
export interface LoggedResponse {
  /** 499 when the client left before there was one. */
  readonly status: number;
  /** Bytes that were sent, headers included, without what frames the body. */
  readonly size: number;
  /** Of these, the body's. */
  readonly bodySize: number;
  readonly headers: LoggedHeaders;
}

/** Times in milliseconds. */
export interface LoggedLatencies {
  /** From the request's first line to the end of its answer. */
  readonly request: number;
  /** What of it passed before the request went upstream, and, for an answer of the gateway's own, all of it. */
  readonly gateway: number;
  /** From there to the head of the upstream's answer; -1 when there is none. */
  readonly proxy: number;
}

/** One attempt to reach a target. */
export interface LoggedTry {
  /** The address, or the name when that was not resolved here. */
  readonly host: string;
  readonly port: number;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  /** Why it failed; undefined when the target answered. */
  readonly failure: string | undefined;
}

/**
 * A request that is over, as the access log and log plugins see it. What takes work to say (headers, query string, URL,
 * sizes) is worked out when it is asked for.
 */
export interface LogEntry {
  readonly requestId: string;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  /** The client's address: of its connection, or what a trusted proxy says. */
  readonly clientIp: string;
  readonly request: LoggedRequest;
  readonly response: LoggedResponse;
  readonly latencies: LoggedLatencies;
  readonly tries: readonly LoggedTry[];
  /** Path and query as they went upstream; empty when nothing did. */
  readonly upstreamUri: string;
  /** What the upstream answered. */
  readonly upstreamStatus: number | undefined;
  /** Undefined before a route is found. Names are empty when there is none. */
  readonly route: { readonly id: string; readonly name: string } | undefined;
  readonly service:
    | {
        readonly id: string;
        readonly name: string;
        readonly protocol: string;
        readonly host: string;
        readonly port: number;
        readonly path: string;
      }
    | undefined;
  /** Who the request came from, when a plugin found out. */
  readonly consumer:
    | {
        readonly id: string;
        readonly username: string;
        readonly customId: string;
      }
    | undefined;
  /** What proved it; undefined for an anonymous consumer. */
  readonly credentialId: string | undefined;
  readonly workspace: string;
  /** Of the configuration that served the request; 0 before there was any. */
  readonly revision: bigint;
  /** Who made the answer. */
  readonly source: "upstream" | "gateway";
  /** Why the gateway answered itself: "no-route", "timed-out", a plugin's name…; empty for an upstream's answer. */
  readonly reason: string;
}

/** An entry in the form in which Kong's log plugins write it. */
export function logFields(entry: LogEntry): JsonObject {
  const { request, response, latencies, route, service, consumer } = entry;
  return {
    request: {
      id: entry.requestId,
      method: request.method,
      uri: request.uri,
      url: request.url,
      size: request.size,
      querystring: copied(request.querystring),
      headers: copied(request.headers),
    },
    response: {
      status: response.status,
      size: response.size,
      headers: copied(response.headers),
    },
    latencies: {
      request: latencies.request,
      kong: latencies.gateway,
      gateway: latencies.gateway,
      proxy: latencies.proxy,
    },
    tries: entry.tries.map(({ host, port, startedAt, failure }) => ({
      ip: host,
      port,
      balancer_start: startedAt,
      ...(failure === undefined ? {} : { state: "failed", reason: failure }),
    })),
    client_ip: entry.clientIp,
    started_at: entry.startedAt,
    workspace_name: entry.workspace,
    revision: String(entry.revision),
    source: entry.source,
    ...(entry.reason === "" ? {} : { reason: entry.reason }),
    ...(entry.upstreamUri === "" ? {} : { upstream_uri: entry.upstreamUri }),
    ...(entry.upstreamStatus === undefined
      ? {}
      : { upstream_status: String(entry.upstreamStatus) }),
    ...(route === undefined ? {} : { route: { ...route } }),
    ...(service === undefined ? {} : { service: { ...service } }),
    ...(consumer === undefined
      ? {}
      : {
          consumer: {
            id: consumer.id,
            username: consumer.username,
            custom_id: consumer.customId,
          },
        }),
    ...(entry.credentialId === undefined
      ? {}
      : { authenticated_entity: { id: entry.credentialId } }),
  };
}

function copied(
  values: Readonly<Record<string, string | readonly string[]>>,
): JsonObject {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      typeof value === "string" ? value : [...value],
    ]),
  );
}
