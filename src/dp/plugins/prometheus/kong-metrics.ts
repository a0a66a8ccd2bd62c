import { Counter, Histogram, type Registry } from "prom-client";

type Labels = Readonly<Record<string, string>>;

/** A metric that takes only so many sets of labels. */
export interface BoundedCounter {
  inc(labels: Labels, by?: number): void;
}

/** See BoundedCounter. */
export interface BoundedHistogram {
  observe(labels: Labels, value: number): void;
}

/** Sets of labels of one counter; what is beyond goes to those with the route "(other)". */
const MAX_SERIES = 10_000;
/** A histogram is some twenty series each. */
const MAX_HISTOGRAMS = 2_000;

const OF = ["service", "route", "workspace"];

const GATEWAY_BUCKETS = [
  1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000,
];
const BUCKETS = [
  25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000,
];

const known = new WeakMap<Registry, KongMetrics>();

/** The metrics of Kong's prometheus plugin, once a process. */
export class KongMetrics {
  readonly requests: BoundedCounter;
  readonly bandwidth: BoundedCounter;
  readonly requestLatency: BoundedHistogram;
  readonly kongLatency: BoundedHistogram;
  readonly upstreamLatency: BoundedHistogram;

  private constructor(registry: Registry) {
    const registers = [registry];
    this.requests = boundedCounter(
      new Counter({
        name: "kong_http_requests_total",
        help: "HTTP status codes per consumer/service/route",
        labelNames: [...OF, "code", "source", "consumer"],
        registers,
      }),
    );
    this.bandwidth = boundedCounter(
      new Counter({
        name: "kong_bandwidth_bytes",
        help: "Bytes of requests (ingress) and answers (egress)",
        labelNames: [...OF, "direction", "consumer"],
        registers,
      }),
    );
    const latency = (
      name: string,
      help: string,
      buckets: number[],
    ): BoundedHistogram =>
      boundedHistogram(
        new Histogram({ name, help, labelNames: OF, buckets, registers }),
      );
    this.requestLatency = latency(
      "kong_request_latency_ms",
      "Milliseconds from a request's first byte to the end of its answer",
      BUCKETS,
    );
    this.kongLatency = latency(
      "kong_kong_latency_ms",
      "Milliseconds of them that the gateway took",
      GATEWAY_BUCKETS,
    );
    this.upstreamLatency = latency(
      "kong_upstream_latency_ms",
      "Milliseconds until the head of the upstream's answer came",
      BUCKETS,
    );
  }

  /** Those of a registry. */
  static of(registry: Registry): KongMetrics {
    let metrics = known.get(registry);
    if (metrics === undefined) {
      metrics = new KongMetrics(registry);
      known.set(registry, metrics);
    }
    return metrics;
  }
}

function boundedCounter(counter: Counter): BoundedCounter {
  const bounded = labelBudget(MAX_SERIES);
  return {
    inc: (labels, by = 1) => {
      counter.inc(bounded(labels), by);
    },
  };
}

function boundedHistogram(histogram: Histogram): BoundedHistogram {
  const bounded = labelBudget(MAX_HISTOGRAMS);
  return {
    observe: (labels, value) => {
      histogram.observe(bounded(labels), value);
    },
  };
}

/** Lets the first so many sets of labels through. */
export function labelBudget(max: number): (labels: Labels) => Labels {
  const seen = new Set<string>();
  return (labels) => {
    const key = Object.values(labels).join("\0");
    if (seen.has(key)) return labels;
    if (seen.size < max) {
      seen.add(key);
      return labels;
    }
    return {
      ...labels,
      service: OTHER,
      route: OTHER,
      ...("consumer" in labels && labels["consumer"] !== ""
        ? { consumer: OTHER }
        : {}),
    };
  };
}

const OTHER = "(other)";
