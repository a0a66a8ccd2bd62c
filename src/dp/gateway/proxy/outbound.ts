import type {
  ConsumerIdentity,
  UpstreamRequest,
} from "../../plugins/plugin.ts";
import type { DownstreamRequest } from "../downstream/message.ts";
import { HeaderBag } from "./header-bag.ts";
import { endToEnd, tokensOf } from "./hop-by-hop.ts";
import type { RequestTarget } from "./inbound.ts";
import type { RequestBody } from "./request-body.ts";

/** The header with the id of a request, towards clients and upstreams. */
export const REQUEST_ID = "X-Holdfast-Request-Id";

/** How this proxy names itself. */
export const PRODUCT = "holdfast";

/** What clients send of these is not believed, or is said anew. */
const NOT_FROM_CLIENTS: ReadonlySet<string> = new Set([
  "content-length",
  // node has answered it already.
  "expect",
  "host",
  // Frameworks that turn headers into variables take it for their own proxy setting.
  "proxy",
  "x-anonymous-consumer",
  "x-credential-identifier",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-path",
  "x-forwarded-port",
  "x-forwarded-prefix",
  "x-forwarded-proto",
  "x-holdfast-request-id",
  "x-real-ip",
]);

/** Whether a client's header is left out. Many frameworks take "_" for "-", so that it would pass for the real one. */
function isForged(lowerName: string): boolean {
  const name = lowerName.replaceAll("_", "-");
  return NOT_FROM_CLIENTS.has(name) || name.startsWith("x-consumer-");
}

/** The request that goes upstream, as plugins change it. */
export class OutboundRequest implements UpstreamRequest {
  readonly headers: HeaderBag;
  rawQuery: string | undefined;
  readonly #body: RequestBody;

  constructor(
    request: DownstreamRequest,
    target: RequestTarget,
    options: {
      readonly id: string;
      readonly clientAddress: string;
      readonly localPort: number;
      readonly upgrade: boolean;
    },
    body: RequestBody,
  ) {
    this.rawQuery = target.rawQuery;
    this.#body = body;
    const raw = request.rawHeaders;
    const passes = endToEnd(raw);
    const headers = HeaderBag.ofRaw(
      raw,
      (name) => passes(name) && !isForged(name),
    );
    this.headers = headers;
    const { id, clientAddress, localPort, upgrade } = options;
    const forwardedFor = request.headersDistinct["x-forwarded-for"] ?? [];
    headers.set("X-Forwarded-For", [...forwardedFor, clientAddress].join(", "));
    headers.set("X-Forwarded-Proto", target.scheme);
    headers.set("X-Forwarded-Host", target.host);
    headers.set("X-Forwarded-Port", String(localPort));
    headers.set("X-Forwarded-Path", target.rawPath);
    headers.set("X-Real-IP", clientAddress);
    headers.set(REQUEST_ID, id);
    addVia(headers, request.httpVersion);
    if (tokensOf(raw, "te").includes("trailers")) headers.set("TE", "trailers");
    if (upgrade) {
      headers.set("Connection", "Upgrade");
      headers.set("Upgrade", "websocket");
    }
  }

  replaceBody(body: Buffer): void {
    this.#body.replace(body);
  }

  /** Tells the upstream who the request comes from. */
  identify(consumer: ConsumerIdentity, credentialId: string | undefined): void {
    const told: readonly (readonly [name: string, value: string])[] = [
      ["X-Consumer-ID", consumer.id],
      ["X-Consumer-Custom-ID", consumer.customId],
      ["X-Consumer-Username", consumer.username],
      ["X-Credential-Identifier", credentialId ?? ""],
      ["X-Anonymous-Consumer", credentialId === undefined ? "true" : ""],
    ];
    for (const [name, value] of told)
      if (value === "") this.headers.delete(name);
      else this.headers.set(name, value);
  }
}

/** Adds this proxy to the list of those that a message came through. */
export function addVia(headers: HeaderBag, httpVersion: string): void {
  const via = [...headers.get("Via"), `${httpVersion} ${PRODUCT}`];
  headers.set("Via", via.join(", "));
}
