import type {
  ConsumerIdentity,
  UpstreamRequest,
} from "../../plugins/plugin.ts";
import type { DownstreamRequest } from "../downstream/message.ts";
import type { Forwarded } from "../headers/forwarded.ts";
import { isForged } from "./forged-headers.ts";
import { HeaderBag } from "./header-bag.ts";
import { endToEnd, tokensOf, valuesOf } from "./hop-by-hop.ts";
import type { RequestTarget } from "./inbound.ts";
import type { RequestBody } from "./request-body.ts";

/** How this proxy names itself. */
export const PRODUCT = "holdfast";

/** The request that goes upstream, as plugins change it. */
export class OutboundRequest implements UpstreamRequest {
  readonly headers: HeaderBag;
  rawQuery: string | undefined;
  method: string;
  #path: string | undefined;
  #planned: () => string;
  readonly #body: RequestBody;

  constructor(
    request: DownstreamRequest,
    target: RequestTarget,
    options: {
      readonly id: string;
      /** Of the header that has the id. */
      readonly idName: string;
      readonly clientAddress: string;
      /** Of the connection: the client's, or of a proxy in front. */
      readonly peerAddress: string;
      readonly localPort: number;
      readonly forwarded: Forwarded | undefined;
      readonly upgrade: boolean;
    },
    body: RequestBody,
  ) {
    this.rawQuery = target.rawQuery;
    this.method = request.method ?? "GET";
    this.#planned = () => target.path;
    this.#body = body;
    const raw = request.rawHeaders;
    const passes = endToEnd(raw);
    const headers = HeaderBag.ofRaw(
      raw,
      (name) => passes(name) && !isForged(name),
    );
    this.headers = headers;
    const { clientAddress, peerAddress, forwarded, upgrade } = options;
    const forwardedFor = valuesOf(raw, "x-forwarded-for");
    headers.set(
      "X-Forwarded-For",
      forwardedFor.length === 0
        ? clientAddress
        : [...forwardedFor, peerAddress].join(", "),
    );
    headers.set("X-Forwarded-Proto", forwarded?.scheme ?? target.scheme);
    headers.set("X-Forwarded-Host", forwarded?.host ?? target.host);
    headers.set(
      "X-Forwarded-Port",
      forwarded?.port ?? String(options.localPort),
    );
    headers.set("X-Forwarded-Path", forwarded?.path ?? target.rawPath);
    if (forwarded?.prefix !== undefined)
      headers.set("X-Forwarded-Prefix", forwarded.prefix);
    headers.set("X-Real-IP", clientAddress);
    headers.set(options.idName, options.id);
    addVia(headers, request.httpVersion);
    if (tokensOf(raw, "te").includes("trailers")) headers.set("TE", "trailers");
    if (upgrade) {
      headers.set("Connection", "Upgrade");
      headers.set("Upgrade", "websocket");
    }
  }

  /** Says what the path will be when no plugin sets another. */
  planPath(planned: () => string): void {
    this.#planned = planned;
  }

  get path(): string {
    this.#path ??= this.#planned();
    return this.#path;
  }

  set path(path: string) {
    if (!path.startsWith("/"))
      throw new TypeError(
        `the path ${JSON.stringify(path)} does not begin with "/"`,
      );
    // What stays is what a request line may have; "?" and "#" would end the path.
    this.#path = path.replace(
      /[^!$%&-;=@-_a-z~]|%(?![0-9A-Fa-f]{2})/gu,
      percentEncoded,
    );
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

function percentEncoded(text: string): string {
  return Buffer.from(text, "utf8")
    .toString("hex")
    .toUpperCase()
    .replace(/../g, "%$&");
}

/** Adds this proxy to the list of those that a message came through. */
export function addVia(headers: HeaderBag, httpVersion: string): void {
  const before = headers.get("Via");
  const own = `${httpVersion} ${PRODUCT}`;
  headers.set("Via", before.length === 0 ? own : [...before, own].join(", "));
}
