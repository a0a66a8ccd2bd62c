import { STATUS_CODES } from "node:http";
import type { Answer } from "../../plugins/plugin.ts";
import {
  NO_PLUGINS,
  type AnswerPlugins,
  type AnswerWork,
} from "../plugin-answers.ts";
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
import { workOnWhole, type AnswerHead } from "./worked-answer.ts";

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
    readonly plugins: AnswerPlugins;
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
  const head = { status, headers, fromUpstream: false };
  const work = bodiless ? undefined : options.plugins.work(head);
  if (work !== undefined) {
    sendWorked(response, work, head, body, options);
    return;
  }
  options.plugins.filter(head);
  write(response, head, bodiless ? undefined : body);
}

function sendWorked(
  response: DownstreamResponse,
  work: AnswerWork,
  head: AnswerHead,
  body: Buffer,
  options: Parameters<typeof sendAnswer>[2],
): void {
  workOnWhole(work, head, body, options.plugins.filter)
    .then((worked) => {
      if (response.headersSent || response.destroyed) response.destroy();
      else if (worked.type === "whole") write(response, worked, worked.body);
      else
        sendAnswer(
          response,
          { status: 500, message: "An unexpected error occurred" },
          { ...options, plugins: NO_PLUGINS },
        );
    })
    .catch(() => {
      // Headers that node does not send.
      response.destroy();
    });
}

function write(
  response: DownstreamResponse,
  { status, headers }: { readonly status: number; readonly headers: HeaderBag },
  body: Buffer | undefined,
): void {
  // With the reason: one of an upstream's answer that could not be sent may be left over.
  response.writeHead(status, STATUS_CODES[status] ?? "", headers.toRaw());
  response.end(body);
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

/** The headers of an upstream's response as the client gets them, before plugins change them. */
export function clientHeaders(
  request: DownstreamRequest,
  from: UpstreamResponse,
  options: {
    readonly id: string;
    readonly latencies: Latencies;
    readonly head: OwnHeaders;
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
