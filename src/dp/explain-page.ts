import type { JsonValue } from "@bufbuild/protobuf";
import type { HttpRequest, HttpResponse } from "../runtime/http-listener.ts";
import type { StatusHandler } from "../runtime/status.ts";
import type { Explained } from "./gateway/explain/explain.ts";
import type { ExplainQuestion } from "./gateway/explain/question.ts";

/** Where it is. */
const EXPLAIN_PATH = "/status/explain";

/** The most bytes of a question. */
const MAX_BYTES = 256 * 1024;

/**
 * Answers `/status/explain`: what would become of a request. It is told in JSON with POST,
 * `{"method": "GET", "url": "http://shop.example/x", "headers": [["accept", "text/html"]], "consumer": "alice"}`, or in the
 * query with GET, `?method=GET&url=…&header=accept:text/html&consumer=alice`. Nobody needs to name a consumer.
 */
export function explainPage(
  explain: (question: ExplainQuestion) => Promise<Explained>,
): StatusHandler {
  return (request, response) => {
    const [path = "", query = ""] = (request.url ?? "").split(/\?(.*)/s);
    if (path !== EXPLAIN_PATH) return false;
    answer(request, query, explain)
      .catch((error: unknown): Page => [
        500,
        { message: error instanceof Error ? error.message : String(error) },
      ])
      .then(([status, value]) => {
        send(response, status, value);
      })
      .catch(() => {
        // The client is gone: there is nobody to tell.
      });
    return true;
  };
}

type Page = readonly [status: number, value: JsonValue];

async function answer(
  request: HttpRequest,
  query: string,
  explain: (question: ExplainQuestion) => Promise<Explained>,
): Promise<Page> {
  let asked: ExplainQuestion | string;
  if (request.method === "GET") asked = questionInQuery(query);
  else if (request.method === "POST") asked = questionIn(await bodyOf(request));
  else return [405, { message: `${EXPLAIN_PATH} is asked with GET or POST` }];
  if (typeof asked === "string") return [400, { message: asked }];
  const explained = await explain(asked);
  return explained.ok
    ? [200, explained.explanation]
    : [400, { message: explained.reason }];
}

function questionInQuery(query: string): ExplainQuestion | string {
  const parameters = new URLSearchParams(query);
  const url = parameters.get("url");
  if (url === null) return "url is missing: which request is to be explained?";
  const headers = parameters.getAll("header").map((text): [string, string] => {
    const colon = text.indexOf(":");
    return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()];
  });
  const method = parameters.get("method") ?? "GET";
  const consumer = parameters.get("consumer");
  return { method, url, headers, ...(consumer === null ? {} : { consumer }) };
}

function questionIn(body: string | undefined): ExplainQuestion | string {
  if (body === undefined)
    return `the question has more than ${MAX_BYTES} bytes`;
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return "the question is no JSON";
  }
  return isQuestion(value)
    ? value
    : 'a question is {"method": "GET", "url": "http://shop.example/x", "headers": [["name", "value"], …], "consumer": "alice"}, the consumer only if one is known';
}

function isQuestion(value: unknown): value is ExplainQuestion {
  return (
    typeof value === "object" &&
    value !== null &&
    "method" in value &&
    typeof value.method === "string" &&
    "url" in value &&
    typeof value.url === "string" &&
    (!("consumer" in value) || typeof value.consumer === "string") &&
    "headers" in value &&
    Array.isArray(value.headers) &&
    value.headers.every(
      (pair: unknown) =>
        Array.isArray(pair) &&
        pair.length === 2 &&
        pair.every((text: unknown) => typeof text === "string"),
    )
  );
}

/** Undefined when it is too much. */
async function bodyOf(request: HttpRequest): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function send(response: HttpResponse, status: number, value: JsonValue): void {
  const body = `${JSON.stringify(value)}\n`;
  response.statusCode = status;
  response.setHeader("content-type", "application/json");
  response.setHeader("content-length", Buffer.byteLength(body));
  response.setHeader("cache-control", "no-store");
  response.end(body);
}
