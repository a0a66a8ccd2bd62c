import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Tracer,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOnSampler,
  BasicTracerProvider,
  type ReadableSpan,
} from "@opentelemetry/sdk-trace-base";
import { randomBytes } from "node:crypto";
import type { SpanFacts, TracedRequest } from "./span-facts.ts";

/** Where spans go. */
export interface SpanSenderOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** What all spans say about this gateway. */
  readonly resource: Attributes;
}

/** Makes spans of requests that are over, with the OpenTelemetry SDK, and sends them. */
export class SpanSender {
  readonly #exporter: OTLPTraceExporter;
  readonly #tracer: Tracer;
  /** Spans that have ended and were not sent yet. */
  #ended: ReadableSpan[] = [];
  /** The id that the next span gets. */
  #nextSpanId = "";
  #nextTraceId = "";

  constructor({ url, headers, timeoutMs, resource }: SpanSenderOptions) {
    this.#exporter = new OTLPTraceExporter({
      url,
      headers: { ...headers },
      timeoutMillis: timeoutMs,
    });
    const provider = new BasicTracerProvider({
      resource: resourceFromAttributes(resource),
      sampler: new AlwaysOnSampler(),
      idGenerator: {
        generateTraceId: () => this.#nextTraceId,
        generateSpanId: () => this.#nextSpanId,
      },
      spanProcessors: [
        {
          onStart: () => undefined,
          onEnd: (span) => this.#ended.push(span),
          forceFlush: () => Promise.resolve(),
          shutdown: () => Promise.resolve(),
        },
      ],
    });
    this.#tracer = provider.getTracer("holdfast");
  }

  /** Rejects when the collector does not take them. */
  async send(requests: readonly TracedRequest[]): Promise<void> {
    for (const request of requests) this.#record(request);
    const spans = this.#ended;
    this.#ended = [];
    await new Promise<void>((resolve, reject) => {
      this.#exporter.export(spans, (result) => {
        // The enum of the codes is in a package that is only theirs; 0 is success.
        const code: number = result.code;
        if (code === 0) resolve();
        else
          reject(
            result.error ?? new Error("the collector did not take the traces"),
          );
      });
    });
  }

  async close(): Promise<void> {
    await this.#exporter.shutdown();
  }

  #record({ traced, entry }: TracedRequest): void {
    const { traceId, spanId, parentId } = traced;
    const startTime = entry.startedAt;
    const endTime = startTime + entry.latencies.request;
    this.#nextTraceId = traceId;
    this.#nextSpanId = spanId;
    const parent =
      parentId === ""
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, {
            traceId,
            spanId: parentId,
            traceFlags: TraceFlags.SAMPLED,
            isRemote: true,
          });
    const root = this.#tracer.startSpan(
      "kong",
      { kind: SpanKind.SERVER, startTime, attributes: attributesOf(entry) },
      parent,
    );
    if (entry.status >= 500) root.setStatus({ code: SpanStatusCode.ERROR });
    const inside = trace.setSpan(ROOT_CONTEXT, root);
    for (const [i, attempt] of entry.tries.entries()) {
      this.#nextSpanId = randomBytes(8).toString("hex");
      const span = this.#tracer.startSpan(
        "kong.balancer",
        {
          kind: SpanKind.CLIENT,
          startTime: attempt.startedAt,
          attributes: {
            "net.peer.ip": attempt.host,
            "net.peer.port": attempt.port,
            try_count: i + 1,
          },
        },
        inside,
      );
      if (attempt.failure !== undefined)
        span.setStatus({
          code: SpanStatusCode.ERROR,
          message: attempt.failure,
        });
      span.end(entry.tries[i + 1]?.startedAt ?? endTime);
    }
    root.end(endTime);
  }
}

function attributesOf(entry: SpanFacts): Attributes {
  const { route, service, consumer } = entry;
  return {
    "http.method": entry.method,
    "http.url": entry.url,
    "http.host": entry.host,
    "http.scheme": entry.scheme,
    "http.flavor": entry.httpVersion,
    "http.target": entry.path,
    "http.status_code": entry.status,
    "http.client_ip": entry.clientIp,
    "net.peer.ip": entry.clientIp,
    "kong.request.id": entry.requestId,
    ...(route === undefined
      ? {}
      : { "http.route": route.name || route.id, "kong.route.id": route.id }),
    ...(service === undefined
      ? {}
      : { "kong.service.id": service.id, "kong.service.name": service.name }),
    ...(consumer === undefined ? {} : { "kong.consumer.id": consumer.id }),
  };
}
