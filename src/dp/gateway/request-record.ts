import type {
  DownstreamConnection,
  DownstreamRequest,
} from "./downstream/message.ts";
import type { Exchange, MutableHeaders } from "../plugins/plugin.ts";
import type { Reason } from "./answers/reason.ts";
import type {
  LogEntry,
  LoggedHeaders,
  LoggedLatencies,
  LoggedRequest,
  LoggedResponse,
  LoggedTry,
} from "./log-entry.ts";
import type { RequestTarget } from "./proxy/inbound.ts";
import type { RequestNotes } from "./request-notes.ts";
import type { ServedRoute, ServedService } from "./runtime.ts";

/** What is known of a request that is over. */
export interface RequestFacts {
  readonly requestId: string;
  readonly workspace: string;
  readonly revision: bigint;
  readonly clientIp: string;
  /** When it was over, in milliseconds since the Unix epoch. */
  readonly endedAt: number;
  readonly durationMs: number;
  /** From its first line to its way upstream; undefined when it did not go there. */
  readonly gatewayMs: number | undefined;
  /** From there to the head of the upstream's answer; undefined when there is none. */
  readonly upstreamMs: number | undefined;
  readonly request: DownstreamRequest;
  readonly connection: DownstreamConnection;
  readonly target: RequestTarget | undefined;
  readonly status: number;
  readonly notes: RequestNotes;
  /** Of its body. */
  readonly receivedBytes: number;
  readonly route: ServedRoute | undefined;
  readonly service: ServedService | undefined;
  readonly exchange: Exchange | undefined;
  readonly source: "upstream" | "gateway";
  readonly reason: Reason;
}

/** A request that is over. What takes work to say is worked out when it is asked for. */
export class RequestRecord implements LogEntry {
  readonly request: LoggedRequest;
  readonly response: LoggedResponse;
  readonly #facts: RequestFacts;

  constructor(facts: RequestFacts) {
    this.#facts = facts;
    this.request = new RecordedRequest(facts);
    this.response = new RecordedResponse(facts);
  }

  get requestId(): string {
    return this.#facts.requestId;
  }

  get startedAt(): number {
    return Math.round(this.#facts.endedAt - this.#facts.durationMs);
  }

  get clientIp(): string {
    return this.#facts.clientIp;
  }

  get latencies(): LoggedLatencies {
    const { durationMs, gatewayMs, upstreamMs } = this.#facts;
    return {
      request: Math.round(durationMs),
      gateway: Math.round(gatewayMs ?? durationMs),
      proxy: upstreamMs === undefined ? -1 : Math.round(upstreamMs),
    };
  }

  get tries(): readonly LoggedTry[] {
    return this.#facts.notes.tries;
  }

  get upstreamUri(): string {
    return this.#facts.notes.upstreamUri;
  }

  get upstreamStatus(): number | undefined {
    return this.#facts.notes.upstreamStatus;
  }

  get route(): LogEntry["route"] {
    const { route } = this.#facts;
    return route === undefined ? undefined : { id: route.id, name: route.name };
  }

  get service(): LogEntry["service"] {
    const { service } = this.#facts;
    if (service === undefined) return undefined;
    const { id, name, protocol, host, port, path } = service;
    return { id, name, protocol, host, port, path };
  }

  get consumer(): LogEntry["consumer"] {
    return this.#facts.exchange?.consumer;
  }

  get credentialId(): string | undefined {
    return this.#facts.exchange?.credentialId;
  }

  get workspace(): string {
    return this.#facts.workspace;
  }

  get revision(): bigint {
    return this.#facts.revision;
  }

  get source(): "upstream" | "gateway" {
    return this.#facts.source;
  }

  get reason(): string {
    return this.#facts.reason;
  }
}

class RecordedRequest implements LoggedRequest {
  readonly #facts: RequestFacts;

  constructor(facts: RequestFacts) {
    this.#facts = facts;
  }

  get method(): string {
    return this.#facts.request.method ?? "";
  }

  get scheme(): "http" | "https" {
    return this.#facts.connection.scheme;
  }

  get httpVersion(): string {
    return this.#facts.request.httpVersion;
  }

  get uri(): string {
    const { target, request } = this.#facts;
    return target === undefined
      ? (request.url ?? "")
      : target.rawPath + queryOf(target.rawQuery);
  }

  get url(): string {
    const { target, connection } = this.#facts;
    if (target === undefined) return this.uri;
    const port = portOf(target, connection.localPort);
    return `${connection.scheme}://${target.host}:${port}${this.uri}`;
  }

  get host(): string {
    return this.#facts.target?.hostHeader ?? "";
  }

  get userAgent(): string {
    return this.#facts.request.headers["user-agent"] ?? "";
  }

  get size(): number {
    const { request, receivedBytes } = this.#facts;
    const { method = "", url = "", httpVersion, rawHeaders } = request;
    return (
      method.length +
      url.length +
      httpVersion.length +
      LINE_BYTES +
      fieldBytes(rawHeaders) +
      receivedBytes
    );
  }

  get bodySize(): number {
    return this.#facts.receivedBytes;
  }

  get headers(): LoggedHeaders {
    return loggedHeaders(this.#facts.request.rawHeaders);
  }

  get querystring(): LoggedRequest["querystring"] {
    return queryArguments(this.#facts.target?.rawQuery);
  }
}

/** The port of the Host header counts when it says one, else that of the connection. */
function portOf(target: RequestTarget, local: number): number {
  return /:\d+$/.test(target.hostHeader) ? target.port : local;
}

function queryOf(rawQuery: string | undefined): string {
  return rawQuery === undefined ? "" : `?${rawQuery}`;
}

class RecordedResponse implements LoggedResponse {
  readonly #facts: RequestFacts;

  constructor(facts: RequestFacts) {
    this.#facts = facts;
  }

  get status(): number {
    return this.#facts.status;
  }

  get size(): number {
    const { sentHeaders, sentBytes } = this.#facts.notes;
    return sentHeaders === undefined
      ? sentBytes
      : STATUS_LINE_BYTES + fieldBytes(rawOf(sentHeaders)) + sentBytes;
  }

  get bodySize(): number {
    return this.#facts.notes.sentBytes;
  }

  get headers(): LoggedHeaders {
    const { sentHeaders } = this.#facts.notes;
    return sentHeaders === undefined ? {} : loggedHeaders(rawOf(sentHeaders));
  }
}

/** Spaces, "HTTP/" and line ends of a request's first line and after its headers. */
const LINE_BYTES = 11;
/** "HTTP/1.1 200 OK" and the line ends after it and after the headers, about. */
const STATUS_LINE_BYTES = 19;

function rawOf(headers: MutableHeaders): string[] {
  return headers
    .names()
    .flatMap((name) => headers.get(name).flatMap((value) => [name, value]));
}

/** Of headers as HTTP/1.1 writes them. */
function fieldBytes(raw: readonly string[]): number {
  // ": " between a name and its value, a line end after it.
  return raw.reduce((sum, text) => sum + text.length + 2, 0);
}

function loggedHeaders(raw: readonly string[]): LoggedHeaders {
  const headers = new Map<string, string | string[]>();
  for (let i = 0; i + 1 < raw.length; i += 2)
    add(headers, (raw[i] ?? "").toLowerCase(), raw[i + 1] ?? "");
  return Object.fromEntries(headers);
}

function queryArguments(
  rawQuery: string | undefined,
): LoggedRequest["querystring"] {
  const found = new Map<string, string | string[]>();
  if (rawQuery !== undefined)
    for (const [name, value] of new URLSearchParams(rawQuery))
      add(found, name, value);
  return Object.fromEntries(found);
}

function add(
  values: Map<string, string | string[]>,
  name: string,
  value: string,
): void {
  const before = values.get(name);
  if (before === undefined) values.set(name, value);
  else if (typeof before === "string") values.set(name, [before, value]);
  else before.push(value);
}
