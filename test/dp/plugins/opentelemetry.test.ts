import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { readPluginConfig } from "../../../src/model/plugins.ts";
import { api, routePlugin } from "../../support/api.ts";
import { eventually } from "../../support/eventually.ts";
import { TestGateway, type Asked } from "../../support/gateway.ts";
import { Upstream } from "../../support/upstream.ts";

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly { key: string; value: object }[];
}

interface Sent {
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly url: string;
  readonly body: {
    readonly resourceSpans: readonly {
      readonly resource: { readonly attributes: Span["attributes"] };
      readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
    }[];
  };
}

/** Asks with some headers, and hands out the answer and what the collector was sent. */
async function traced(
  config: object,
  headers: Readonly<Record<string, string>>,
  use: (answer: Asked, sent: readonly Sent[]) => void | Promise<void>,
): Promise<readonly Sent[]> {
  const sent: Sent[] = [];
  const collector = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      sent.push({
        headers: request.headers,
        url: request.url ?? "",
        body: JSON.parse(Buffer.concat(chunks).toString()) as Sent["body"],
      });
      response.end("{}");
    });
  });
  collector.listen(0, "127.0.0.1");
  await once(collector, "listening");
  const { port } = collector.address() as AddressInfo;
  try {
    await using upstream = await Upstream.start();
    const gateway = await TestGateway.start([
      ...api(upstream.port),
      routePlugin(3, "opentelemetry", {
        traces_endpoint: `http://127.0.0.1:${port}/v1/traces`,
        queue: { max_coalescing_delay: 0.01 },
        ...config,
      }),
    ]);
    await use(await gateway.ask("/api/x", { headers }), sent);
    // Sends what is left.
    await gateway.gateway.close();
    return sent;
  } finally {
    collector.close();
    collector.closeAllConnections();
  }
}

const upstreamHeaders = (answer: Asked): Record<string, string> =>
  answer.json<{ headers: Record<string, string> }>().headers;

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

test("a request is a span of its caller's trace, goes on in it, and is sent with what it was about", async () => {
  await traced(
    {
      resource_attributes: { "service.name": "edge", zone: "b" },
      headers: { "X-Auth": "secret" },
      http_response_header_for_traceid: "X-Trace-Id",
    },
    { traceparent: `00-${TRACE}-${SPAN}-01` },
    async (answer, sent) => {
      expect(answer.headers["x-trace-id"]).toBe(TRACE);
      const [version, traceId, spanId, flags] = (
        upstreamHeaders(answer)["traceparent"] ?? ""
      ).split("-");
      expect([version, traceId, flags]).toEqual(["00", TRACE, "01"]);
      await eventually(() => (sent.length > 0 ? true : undefined), "a trace");
      const [{ headers, url, body }] = sent as [Sent];
      expect(url).toBe("/v1/traces");
      expect(headers["x-auth"]).toBe("secret");
      const [{ resource, scopeSpans }] = body.resourceSpans as [
        Sent["body"]["resourceSpans"][number],
      ];
      expect(resource.attributes).toEqual(
        expect.arrayContaining([
          { key: "service.name", value: { stringValue: "edge" } },
          { key: "zone", value: { stringValue: "b" } },
        ]),
      );
      const spans = scopeSpans.flatMap((scope) => scope.spans);
      const root = spans.find(({ name }) => name === "kong");
      expect(root).toMatchObject({
        traceId: TRACE,
        spanId,
        parentSpanId: SPAN,
        kind: 2,
        attributes: expect.arrayContaining([
          { key: "http.method", value: { stringValue: "GET" } },
          { key: "http.status_code", value: { intValue: 200 } },
          { key: "http.route", value: { stringValue: "route" } },
        ]) as unknown,
      });
      expect(spans.find(({ name }) => name === "kong.balancer")).toMatchObject({
        traceId: TRACE,
        parentSpanId: spanId,
        kind: 3,
      });
    },
  );
});

test.each([
  [
    "b3",
    { "x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1" },
    "x-b3-traceid",
    TRACE,
  ],
  [
    "a single b3",
    { b3: `${TRACE}-${SPAN}-1` },
    "b3",
    new RegExp(`^${TRACE}-[0-9a-f]{16}-1$`),
  ],
  [
    "jaeger",
    { "uber-trace-id": `${TRACE}:${SPAN}:0:1` },
    "uber-trace-id",
    new RegExp(`^${TRACE}:[0-9a-f]{16}:0:01$`),
  ],
  [
    "ot",
    {
      "ot-tracer-traceid": TRACE.slice(16),
      "ot-tracer-spanid": SPAN,
      "ot-tracer-sampled": "1",
    },
    "ot-tracer-traceid",
    TRACE.slice(16),
  ],
  [
    "datadog",
    { "x-datadog-trace-id": "1234", "x-datadog-parent-id": "99" },
    "x-datadog-trace-id",
    "1234",
  ],
  [
    "gcp",
    { "x-cloud-trace-context": `${TRACE}/99;o=1` },
    "x-cloud-trace-context",
    new RegExp(`^${TRACE}/\\d+;o=1$`),
  ],
  [
    "aws",
    {
      "x-amzn-trace-id": `Root=1-${TRACE.slice(0, 8)}-${TRACE.slice(8)};Parent=${SPAN};Sampled=1`,
    },
    "x-amzn-trace-id",
    new RegExp(
      `^Root=1-${TRACE.slice(0, 8)}-${TRACE.slice(8)};Parent=[0-9a-f]{16};Sampled=1$`,
    ),
  ],
  ["nothing", {}, "traceparent", /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/],
])(
  "a context that comes as %s goes on in that form",
  async (_form, headers, name, expected) => {
    await traced({}, headers, (answer) => {
      expect(upstreamHeaders(answer)[name]).toEqual(
        typeof expected === "string"
          ? expected
          : expect.stringMatching(expected),
      );
    });
  },
);

test("header_type and propagation say which forms are read, removed and written", async () => {
  const came = { traceparent: `00-${TRACE}-${SPAN}-01` };
  await traced({ header_type: "b3" }, came, (answer) => {
    expect(upstreamHeaders(answer)).toMatchObject({
      "x-b3-traceid": TRACE,
      traceparent: expect.stringContaining(TRACE) as unknown,
    });
  });
  await traced({ header_type: "ignore" }, came, (answer) => {
    const { traceparent } = upstreamHeaders(answer);
    expect(traceparent).toMatch(/^00-/);
    expect(traceparent).not.toContain(TRACE);
  });
  await traced(
    {
      propagation: {
        extract: ["w3c"],
        clear: ["traceparent"],
        inject: ["datadog", "preserve"],
        default_format: "b3",
      },
    },
    came,
    (answer) => {
      const sent = upstreamHeaders(answer);
      expect(sent["x-datadog-trace-id"]).toBe(
        String(BigInt(`0x${TRACE.slice(16)}`)),
      );
      expect(sent["traceparent"]).toContain(TRACE);
    },
  );
});

test("what is not sampled is passed on so and not sent", async () => {
  const unsampled = (answer: Asked): void => {
    expect(upstreamHeaders(answer)["traceparent"]).toMatch(/-00$/);
  };
  const dropped = { traceparent: `00-${TRACE}-${SPAN}-00` };
  expect(await traced({ sampling_rate: 0 }, {}, unsampled)).toEqual([]);
  expect(await traced({}, dropped, unsampled)).toEqual([]);
  expect(await traced({}, {}, () => undefined)).toHaveLength(1);
});

test("what a caller samples has its own chance here by the default strategy, and is the caller's affair by the other one", async () => {
  const sampled = { traceparent: `00-${TRACE}-${SPAN}-01` };
  const rare = { sampling_rate: 0 };
  expect(await traced(rare, sampled, () => undefined)).toEqual([]);
  const theirs = { ...rare, sampling_strategy: "parent_probability_fallback" };
  expect(await traced(theirs, sampled, () => undefined)).toHaveLength(1);
  expect(await traced(theirs, {}, () => undefined)).toEqual([]);
});

test("the older names are taken, null stands for nothing, and logs_endpoint is no reason to refuse", () => {
  expect(
    readPluginConfig("opentelemetry", {
      endpoint: "http://a:4318/v1/traces",
      headers: { "Content-Type": "application/json" },
      batch_span_count: null,
      logs_endpoint: "http://a:4318/v1/logs",
      propagation: { clear: null, extract: null, inject: null },
    }).ok,
  ).toBe(true);
  expect(
    readPluginConfig("opentelemetry", { traces_endpoint: "nowhere" }).ok,
  ).toBe(false);
});
