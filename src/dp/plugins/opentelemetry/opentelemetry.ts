import { randomBytes } from "node:crypto";
import {
  OpentelemetryConfigSchema,
  type OpentelemetryConfig,
} from "../../../gen/holdfast/plugin/v1/opentelemetry_pb.js";
import type { LogEntry } from "../../gateway/log-entry.ts";
import { BatchQueue, batchSettings } from "../batch-queue.ts";
import { ContextKey } from "../context.ts";
import {
  definePlugin,
  type Exchange,
  type PluginEnvironment,
  type PluginHandlers,
} from "../plugin.ts";
import { propagationOf } from "./propagation.ts";
import type { SpanFacts, Traced, TracedRequest } from "./span-facts.ts";
import type { SpanSender } from "./span-sender.ts";

/** "opentelemetry": a trace of each request, sent to a collector by OTLP over HTTP. */
export const opentelemetry = definePlugin({
  name: "opentelemetry",
  version: 1,
  priority: 14,
  schema: OpentelemetryConfigSchema,
  create,
});

/** About what a trace of three spans takes while it waits. */
const TRACE_BYTES = 2_000;

function create(
  config: OpentelemetryConfig,
  environment: PluginEnvironment,
): PluginHandlers {
  const traces = new ContextKey<Traced>("opentelemetry");
  const propagation = propagationOf(config);
  const endpoint = config.tracesEndpoint || config.endpoint;
  const exporter =
    endpoint === "" ? undefined : exporterOf(config, endpoint, environment);
  const idHeader = config.httpResponseHeaderForTraceid;
  return {
    access: (exchange) => {
      const came = propagation.extract(exchange);
      const traced: Traced = {
        traceId: came?.context.traceId ?? randomBytes(16).toString("hex"),
        spanId: randomBytes(8).toString("hex"),
        parentId: came?.context.spanId ?? "",
        sampled: isSampled(config, came?.context.sampled),
      };
      exchange.context.set(traces, traced);
      propagation.inject(exchange, traced, came?.form);
      return undefined;
    },
    headerFilter: ({ context }: Exchange, { headers }) => {
      const traced = context.get(traces);
      if (idHeader !== "" && traced !== undefined)
        headers.set(idHeader, traced.traceId);
    },
    ...(exporter !== undefined && {
      log: ({ context }: Exchange, entry: LogEntry) => {
        const traced = context.get(traces);
        if (traced?.sampled === true)
          exporter.queue.add({ traced, entry: settled(entry) }, TRACE_BYTES);
      },
      close: exporter.close,
    }),
  };
}

function settled(entry: LogEntry): SpanFacts {
  const { request, response } = entry;
  const { host } = request.headers;
  return {
    requestId: entry.requestId,
    startedAt: entry.startedAt,
    clientIp: entry.clientIp,
    latencies: { ...entry.latencies },
    tries: [...entry.tries],
    route: entry.route,
    service: entry.service,
    consumer: entry.consumer,
    source: entry.source,
    method: request.method,
    scheme: request.scheme,
    httpVersion: request.httpVersion,
    url: request.url,
    host: typeof host === "string" ? host : "",
    path: request.uri,
    status: response.status,
  };
}

function isSampled(
  { samplingRate, samplingStrategy }: OpentelemetryConfig,
  parent: boolean | undefined,
): boolean {
  const byChance = (): boolean => Math.random() < (samplingRate ?? 1);
  if (parent === undefined) return byChance();
  // "parent_drop": a parent that is dropped is dropped here, and one that is sampled has its chance.
  if (samplingStrategy === "parent_drop_probability_fallback")
    return parent && (samplingRate === undefined || byChance());
  return parent;
}

function exporterOf(
  config: OpentelemetryConfig,
  endpoint: string,
  environment: PluginEnvironment,
) {
  const { connectTimeout, sendTimeout, readTimeout } = config;
  const options = {
    url: endpoint,
    headers: withoutType(config.headers),
    timeoutMs:
      (connectTimeout ?? 1_000) +
      (sendTimeout ?? 5_000) +
      (readTimeout ?? 5_000),
    resource: {
      "service.name": "kong",
      "service.instance.id": environment.uuid(),
      ...config.resourceAttributes,
    },
  };
  let sender: Promise<SpanSender> | undefined;
  const { batchSpanCount, batchFlushDelay } = config;
  const queue = new BatchQueue<TracedRequest>(
    batchSettings(
      config.queue,
      { maxBatchSize: 200 },
      {
        maxBatchSize: batchSpanCount === 200 ? undefined : batchSpanCount,
        maxDelay: batchFlushDelay === 3 ? undefined : batchFlushDelay,
      },
    ),
    {
      ...environment,
      plugin: "opentelemetry",
      send: async (batch) => {
        // The SDK takes a while to load, and most gateways need none of it.
        sender ??= import("./span-sender.ts").then(
          ({ SpanSender }) => new SpanSender(options),
        );
        await (await sender).send(batch);
      },
    },
  );
  return {
    queue,
    close: async (): Promise<void> => {
      await queue.close();
      await (await sender)?.close();
    },
  };
}

/** The type is always that of what is sent. */
function withoutType(
  headers: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => name.toLowerCase() !== "content-type",
    ),
  );
}
