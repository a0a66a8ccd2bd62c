import { STATUS_CODES } from "node:http";
import type { Answer, ResponseHead } from "../../plugins/plugin.ts";
import { grpcHeaders, isGrpc } from "../answers/grpc-status.ts";
import { wordFor } from "../answers/wording.ts";
import type { OwnHeaders } from "../headers/header-settings.ts";
import type {
  DownstreamRequest,
  DownstreamResponse,
} from "../downstream/message.ts";
import { HeaderBag } from "./header-bag.ts";
import { endToEnd } from "./hop-by-hop.ts";
import type { RequestTarget } from "./inbound.ts";
import type { UpstreamResponse } from "./messages.ts";
import { addVia, PRODUCT } from "./outbound.ts";
import { mayHaveTrailers } from "./relay.ts";

/** Changes the head of a response before it goes out. */
export type HeaderFilter = (head: ResponseHead) => void;

/** Milliseconds, as whole numbers, that the headers of a response tell. */
export interface Latencies {
  /** What the data plane itself took. */
  readonly proxyMs: number;
  /** From the sent request to the head of the answer. */
  readonly upstreamMs: number;
}

/** Sends an answer of the data plane itself. */
export function sendAnswer(
  response: DownstreamResponse,
  answer: Answer,
  options: {
    /** The headers of the request say how the client wants to be told. */
    readonly request: Pick<DownstreamRequest, "headers">;
    readonly id: string;
    readonly latencyMs: number;
    readonly head: OwnHeaders;
    readonly filter: HeaderFilter;
  },
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const { status } = answer;
  const headers = new HeaderBag();
  const body = bodyOf(answer, headers, options);
  const bodiless = status < 200 || status === 204 || status === 304;
  if (!bodiless) headers.set("Content-Length", String(body.length));
  headers.set("Server", PRODUCT);
  for (const [name, value] of Object.entries(answer.headers ?? {}))
    headers.set(name, value);
  const { names } = options.head;
  headers.set(names.responseLatency, String(options.latencyMs));
  headers.set(names.requestId, options.id);
  options.head.tell?.(headers);
  options.filter({ status, headers, fromUpstream: false });
  // With the reason: one of an upstream's answer that could not be sent may be left over.
  response.writeHead(status, STATUS_CODES[status] ?? "", headers.toRaw());
  response.end(bodiless ? undefined : body);
}

/** The answer to plain http where only https is served. */
export function upgradeToHttps(
  status: number,
  target: RequestTarget,
  host: string,
): Answer {
  const message = "Please use HTTPS protocol";
  if (status === 426)
    return {
      status,
      headers: { Connection: "Upgrade", Upgrade: "TLS/1.2, HTTP/1.1" },
      message,
    };
  const query = target.rawQuery === undefined ? "" : `?${target.rawQuery}`;
  return {
    status,
    headers: { Location: `https://${host}${target.rawPath}${query}` },
    message,
  };
}

/** The headers of an upstream's response as the client gets them. */
export function clientHeaders(
  request: DownstreamRequest,
  from: UpstreamResponse,
  options: {
    readonly id: string;
    readonly latencies: Latencies;
    readonly head: OwnHeaders;
    readonly filter: HeaderFilter;
  },
): HeaderBag {
  const raw = from.rawHeaders;
  const passes = endToEnd(raw);
  const trailers = mayHaveTrailers(request, from);
  const headers = HeaderBag.ofRaw(
    raw,
    (name) => passes(name) || (name === "trailer" && trailers),
  );
  if (headers.get("Server").length === 0) headers.set("Server", PRODUCT);
  addVia(headers, from.httpVersion);
  const { proxyMs, upstreamMs } = options.latencies;
  const { names, upstreamStatus, tell } = options.head;
  headers.set(names.upstreamLatency, String(upstreamMs));
  headers.set(names.proxyLatency, String(proxyMs));
  headers.set(names.requestId, options.id);
  if (upstreamStatus)
    headers.set(names.upstreamStatus, String(from.statusCode ?? 502));
  tell?.(headers);
  options.filter({
    status: from.statusCode ?? 502,
    headers,
    fromUpstream: true,
  });
  return headers;
}

function bodyOf(
  { status, body, message }: Answer,
  headers: HeaderBag,
  {
    request,
    id,
  }: {
    readonly request: Pick<DownstreamRequest, "headers">;
    readonly id: string;
  },
): Buffer {
  if (isGrpc(request.headers["content-type"])) {
    const words = message ?? messageIn(body);
    for (const [name, value] of grpcHeaders(status, words))
      headers.set(name, value);
    return NOTHING;
  }
  if (message !== undefined) {
    const worded = wordFor(request.headers.accept, message, id);
    headers.set("Content-Type", worded.type);
    return Buffer.from(worded.body, "utf8");
  }
  if (body === undefined) return NOTHING;
  if (Buffer.isBuffer(body)) return body;
  if (typeof body === "string") return Buffer.from(body, "utf8");
  headers.set("Content-Type", "application/json; charset=utf-8");
  return Buffer.from(JSON.stringify(body), "utf8");
}

const NOTHING = Buffer.alloc(0);

/** What a body says in a word: all that a gRPC client is told of it. */
function messageIn(body: Answer["body"]): string {
  if (typeof body === "string") return body;
  if (body === undefined || Buffer.isBuffer(body)) return "";
  const { message } = body;
  return typeof message === "string" ? message : "";
}
