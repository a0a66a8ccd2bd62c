import { PrometheusConfigSchema } from "../../../gen/holdfast/plugin/v1/prometheus_pb.js";
import { definePlugin } from "../plugin.ts";
import { KongMetrics } from "./kong-metrics.ts";
import { tellTargetHealth } from "./target-health.ts";

/** "prometheus": counts of requests on the status listener's /metrics, with Kong's names. */
export const prometheus = definePlugin({
  name: "prometheus",
  version: 1,
  priority: 13,
  schema: PrometheusConfigSchema,
  create: (config, { metrics: registry, upstreams }) => {
    if (registry === undefined) return {};
    let stop: (() => void) | undefined;
    const tellHealth = config.upstreamHealthMetrics === true;
    return {
      ...(tellHealth && { close: () => stop?.() }),
      log: (_exchange, entry) => {
        if (tellHealth) stop ??= tellTargetHealth(registry, upstreams);
        // Made with the first request: a gateway without the plugin has none of these.
        const metrics = KongMetrics.of(registry);
        const { id, name } = entry.route ?? { id: "", name: "" };
        const { service } = entry;
        const of = {
          service: service === undefined ? "" : service.name || service.host,
          route: name || id,
          workspace: entry.workspace,
        };
        const consumer =
          config.perConsumer === true ? (entry.consumer?.username ?? "") : "";
        if (config.statusCodeMetrics === true)
          metrics.requests.inc({
            ...of,
            code: String(entry.response.status),
            source: entry.source === "upstream" ? "service" : "kong",
            consumer,
          });
        if (config.latencyMetrics === true) {
          const { request, gateway, proxy } = entry.latencies;
          metrics.requestLatency.observe(of, request);
          metrics.kongLatency.observe(of, gateway);
          if (proxy >= 0) metrics.upstreamLatency.observe(of, proxy);
        }
        if (config.bandwidthMetrics === true) {
          const { request, response } = entry;
          metrics.bandwidth.inc(
            { ...of, direction: "ingress", consumer },
            request.size,
          );
          metrics.bandwidth.inc(
            { ...of, direction: "egress", consumer },
            response.size,
          );
        }
      },
    };
  },
});
