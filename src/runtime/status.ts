import type { JsonValue } from "@bufbuild/protobuf";
import type {
  HttpHandler,
  HttpRequest,
  HttpResponse,
} from "./http-listener.ts";

/** What a process says about itself over plain HTTP. */
export interface StatusSource {
  /** For people, at `/status`. */
  status(): JsonValue;
  /** Why it cannot do its work yet, for `/status/ready`. Undefined: it can. */
  notReady(): string | undefined;
  /** Parts of its work that it cannot do, though it is ready for the rest: shown with `/status/ready`. */
  readyBut?(): readonly JsonValue[];
  /** The configuration it has: `/status/config`. */
  config(): JsonValue;
  /** How upstreams and their targets are doing: `/status/upstreams`. Absent: it proxies nothing. */
  upstreams?(): JsonValue;
}

/**
 * Answers `/status`, `/status/live`, `/status/ready`, `/status/config`, `/metrics` and, of a process that proxies,
 * `/status/upstreams`. Returns false, having done
 * nothing, for any other path.
 */
export type StatusHandler = (
  request: HttpRequest,
  response: HttpResponse,
) => boolean;

/** The status endpoints of a process. */
export function statusHandler(
  source: StatusSource,
  metrics: { readonly contentType: string; metrics(): Promise<string> },
): StatusHandler {
  const pages = new Map<string, () => Promise<Page> | Page>([
    ["/status", () => json(200, source.status())],
    ["/status/live", () => json(200, { live: true })],
    [
      "/status/ready",
      () => {
        const reason = source.notReady();
        if (reason !== undefined) return json(503, { ready: false, reason });
        const but = source.readyBut?.() ?? [];
        return json(200, {
          ready: true,
          ...(but.length === 0 ? {} : { but: [...but] }),
        });
      },
    ],
    ["/status/config", () => json(200, source.config())],
    [
      "/metrics",
      async () => ({
        status: 200,
        type: metrics.contentType,
        body: await metrics.metrics(),
      }),
    ],
  ]);
  if (source.upstreams !== undefined)
    pages.set("/status/upstreams", () => json(200, source.upstreams?.() ?? {}));
  return (request, response) => {
    const page = pages.get(pathOf(request));
    if (page === undefined) return false;
    show(page, request, response).catch(() => {
      // The client is gone: there is nobody to tell.
    });
    return true;
  };
}

/** Several handlers as one: the first that has the path answers. */
export function firstOf(...handlers: readonly StatusHandler[]): StatusHandler {
  return (request, response) =>
    handlers.some((handler) => handler(request, response));
}

/** Nothing but the status endpoints: for a port of their own. */
export function statusOnly(handler: StatusHandler): HttpHandler {
  return (request, response) => {
    if (!handler(request, response)) notFound(request, response);
  };
}

/** Says that there is nothing at this path, and what there is. */
function notFound(request: HttpRequest, response: HttpResponse): void {
  send(request, response, {
    ...json(404, {
      message: `nothing at ${pathOf(request)}; there are /status, /status/live, /status/ready, /status/config and /metrics`,
    }),
  });
}

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

function json(status: number, value: JsonValue): Page {
  return {
    status,
    type: "application/json",
    body: `${JSON.stringify(value)}\n`,
  };
}

async function show(
  page: () => Promise<Page> | Page,
  request: HttpRequest,
  response: HttpResponse,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    send(
      request,
      response,
      json(405, { message: `${pathOf(request)} is only read, with GET` }),
    );
    return;
  }
  try {
    send(request, response, await page());
  } catch (error) {
    // A gauge that fails must not take the others' page with it unexplained.
    send(
      request,
      response,
      json(500, {
        message: error instanceof Error ? error.message : String(error),
      }),
    );
  }
}

function send(
  request: HttpRequest,
  response: HttpResponse,
  { status, type, body }: Page,
): void {
  response.statusCode = status;
  response.setHeader("content-type", type);
  response.setHeader("content-length", Buffer.byteLength(body));
  response.setHeader("cache-control", "no-store");
  response.end(request.method === "HEAD" ? "" : body);
}

function pathOf(request: HttpRequest): string {
  return request.url?.split("?", 1)[0] ?? "";
}
