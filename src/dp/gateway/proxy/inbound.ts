import { splitHostPort } from "../../../model/hosts.ts";
import { normalisePath } from "../../../model/paths.ts";
import type {
  Answer,
  ClientConnection,
  ClientRequest,
} from "../../plugins/plugin.ts";
import type {
  DownstreamConnection,
  DownstreamRequest,
} from "../downstream/message.ts";
import type { RouteRequest } from "../router/conditions.ts";
import { tokensOf, valuesOf } from "./hop-by-hop.ts";
import type { RequestBody } from "./request-body.ts";

/** Where a request wants to go, as it says itself. */
export interface RequestTarget {
  readonly scheme: "http" | "https";
  /** In lower case, without port; empty when the request names none. */
  readonly host: string;
  /** As it was sent. */
  readonly hostHeader: string;
  /** Of the Host header, else the scheme's own. */
  readonly port: number;
  /** As it was sent, without query. */
  readonly rawPath: string;
  /** Normalised. */
  readonly path: string;
  readonly rawQuery: string | undefined;
}

/** Reads the request line and the Host header; undefined when they make no sense. */
export function readTarget(
  request: DownstreamRequest,
  { scheme }: DownstreamConnection,
): RequestTarget | undefined {
  const hosts = valuesOf(request.rawHeaders, "host");
  // Two would leave it to everyone on the way which one counts.
  if (hosts.length > 1 || (hosts.length === 0 && request.httpVersion !== "1.0"))
    return undefined;
  let { url = "" } = request;
  let [hostHeader = ""] = hosts;
  // The absolute form names the host itself, and that counts.
  const absolute = url.startsWith("/")
    ? null
    : /^https?:\/\/([^/?#]*)(.*)$/is.exec(url);
  if (absolute !== null) {
    hostHeader = absolute[1] ?? "";
    url = absolute[2] ?? "";
    if (!url.startsWith("/")) url = `/${url}`;
  }
  if (!url.startsWith("/")) return undefined;
  const split = splitHostPort(hostHeader.toLowerCase());
  if (split === undefined || NOT_IN_HOSTS.test(hostHeader)) return undefined;
  const question = url.indexOf("?");
  const rawPath = question < 0 ? url : url.slice(0, question);
  return {
    scheme,
    host: split.host,
    hostHeader,
    port: split.port ?? (scheme === "https" ? 443 : 80),
    rawPath,
    path: normalisePath(rawPath),
    rawQuery: question < 0 ? undefined : url.slice(question + 1),
  };
}

/** What would make others on the way see another host than this: a user's name, a path, a second word. */
const NOT_IN_HOSTS = /[\s@/?#\\"<>^`{|}]/;

/**
 * Whether the end of a request's body is clear: a coding that node does not undo would leave that to guesses, and to a
 * neighbour of HTTP/1.0 none means anything.
 */
export function isReadable({
  rawHeaders,
  httpVersion,
}: DownstreamRequest): boolean {
  const codings = tokensOf(rawHeaders, "transfer-encoding");
  return (
    codings.length === 0 ||
    (codings.join() === "chunked" && httpVersion !== "1.0")
  );
}

/** The client's request as plugins and the router see it. */
export class InboundRequest implements ClientRequest, RouteRequest {
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly sni: string | undefined;
  readonly httpVersion: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly rawPath: string;
  readonly rawQuery: string | undefined;
  readonly connection: ClientConnection;
  readonly header: (name: string) => readonly string[];
  readonly #body: RequestBody;

  constructor(
    request: DownstreamRequest,
    target: RequestTarget,
    connection: DownstreamConnection,
    body: RequestBody,
  ) {
    this.method = request.method ?? "GET";
    this.scheme = target.scheme;
    this.sni = connection.serverName === "" ? undefined : connection.serverName;
    this.httpVersion = request.httpVersion;
    this.host = target.host;
    this.port = target.port;
    this.path = target.path;
    this.rawPath = target.rawPath;
    this.rawQuery = target.rawQuery;
    this.connection = connection;
    this.header = (name) => valuesOf(request.rawHeaders, name);
    this.#body = body;
  }

  body(limitBytes: number): Promise<Buffer | undefined> {
    return this.#body.read(limitBytes);
  }

  limitBody(limitBytes: number, answer: Answer): void {
    this.#body.limit(limitBytes, answer);
  }
}
