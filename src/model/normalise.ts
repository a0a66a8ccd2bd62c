import type { Resource } from "../gen/holdfast/config/v1/resource_pb.js";
import type { Route } from "../gen/holdfast/config/v1/route_pb.js";
import type { Service } from "../gen/holdfast/config/v1/service_pb.js";
import type { Upstream } from "../gen/holdfast/config/v1/upstream_pb.js";
import type { Plugin } from "../gen/holdfast/config/v1/plugin_pb.js";
import { isUuid } from "./ids.ts";
import { caDigest } from "./pem.ts";
import { readPluginConfig } from "./plugins.ts";
import { mapReferences } from "./references.ts";
import { parseServiceUrl } from "./service-url.ts";
import { parseTarget } from "./targets.ts";

/** Brings a resource into its one normal form, in place, before defaults are filled. */
export function normalise(resource: Resource): void {
  const { kind } = resource;
  if (kind.value === undefined) return;
  kind.value.id = kind.value.id.toLowerCase();
  mapReferences(resource, (reference) =>
    isUuid(reference.id)
      ? { id: reference.id.toLowerCase(), name: "" }
      : reference,
  );
  switch (kind.case) {
    case "service":
      expandUrl(kind.value);
      return;
    case "route":
      settleStripPath(kind.value);
      return;
    case "upstream":
      settleHash(kind.value);
      return;
    case "target": {
      const target = parseTarget(kind.value.target);
      if (target.ok) kind.value.target = target.normalised;
      return;
    }
    case "sni":
      kind.value.name = kind.value.name.toLowerCase();
      return;
    case "caCertificate":
      kind.value.certDigest =
        kind.value.certDigest === ""
          ? (caDigest(kind.value.cert) ?? "")
          : kind.value.certDigest.toLowerCase();
      return;
    case "plugin":
      settleConfig(kind.value);
      return;
    default:
  }
}

/** The shorthand wins over the fields it stands for, as in Kong. */
function expandUrl(service: Service): void {
  if (service.url === "") return;
  const url = parseServiceUrl(service.url);
  if (!url.ok) return;
  service.protocol = url.protocol;
  service.host = url.host;
  service.port = url.port;
  service.path = url.path;
  service.url = "";
}

/** A gRPC route never strips its path, so there the default is another. */
function settleStripPath(route: Route): void {
  if (route.protocols.some((protocol) => /^grpcs?$/.test(protocol)))
    route.stripPath ??= false;
}

/** Least-connections and latency hash nothing; hashing on something means consistent hashing. */
function settleHash(upstream: Upstream): void {
  if (
    upstream.algorithm === "least-connections" ||
    upstream.algorithm === "latency"
  )
    upstream.hashOn = "none";
  else if ((upstream.hashOn ?? "none") !== "none")
    upstream.algorithm = "consistent-hashing";
}

function settleConfig(plugin: Plugin): void {
  const read = readPluginConfig(plugin.name, plugin.config ?? {});
  if (read.ok) plugin.config = read.config;
}
