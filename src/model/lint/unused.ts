import { findingOf, type Finding } from "./finding.ts";
import type { Graph } from "./graph.ts";

/** Upstreams without services, or without targets. */
export function* upstreams(graph: Graph): Generator<Finding> {
  const hosts = new Set(
    graph.all("service").map(({ value }) => value.host.toLowerCase()),
  );
  const filled = new Set(
    graph.all("target").map(({ refers }) => refers.get("upstream")),
  );
  for (const upstream of graph.all("upstream"))
    if (!hosts.has(upstream.value.name.toLowerCase()))
      yield findingOf(
        "unused-upstream",
        upstream.entity,
        "name",
        "is the host of no service",
      );
    else if (!filled.has(upstream))
      yield findingOf(
        "upstream-without-targets",
        upstream.entity,
        "",
        "has no targets: requests for it get 503",
      );
}

/** Services without routes. */
export function* services(graph: Graph): Generator<Finding> {
  const used = new Set(
    graph.all("route").map(({ refers }) => refers.get("service")),
  );
  for (const service of graph.all("service"))
    if (!used.has(service))
      yield findingOf(
        "service-without-routes",
        service.entity,
        "",
        "has no routes: no request reaches it",
      );
}
