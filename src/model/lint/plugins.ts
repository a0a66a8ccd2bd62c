import type { Plugin } from "../../gen/holdfast/config/v1/plugin_pb.js";
import type { Route } from "../../gen/holdfast/config/v1/route_pb.js";
import type { Service } from "../../gen/holdfast/config/v1/service_pb.js";
import type { DeclaredEntity } from "../declarative/parsed.ts";
import { knownPlugin } from "../plugins.ts";
import { findingOf, type Finding } from "./finding.ts";
import type { Graph, Linked } from "./graph.ts";

const AUTHENTICATE: ReadonlySet<string> = new Set([
  "basic-auth",
  "hmac-auth",
  "jwt",
  "key-auth",
  "ldap-auth",
  "mtls-auth",
  "oauth2",
  "session",
]);

/** The plugin that asks for the credentials of a kind. */
const ASKED_FOR_BY = {
  keyauthCredential: "key-auth",
  basicauthCredential: "basic-auth",
  jwtSecret: "jwt",
  oauth2Credential: "oauth2",
  hmacauthCredential: "hmac-auth",
  acl: "acl",
} as const;

/** Plugins that never run. */
export function* unreachablePlugins(graph: Graph): Generator<Finding> {
  const enabled = graph
    .all("plugin")
    .filter(({ value }) => value.enabled !== false);
  const routesOf = new Map<Linked | undefined, Linked<Route>[]>();
  for (const route of graph.all("route")) {
    const service = route.refers.get("service");
    const same = routesOf.get(service) ?? [];
    routesOf.set(service, same);
    same.push(route);
  }
  const onRoutes = new Set(
    enabled
      .filter(({ value }) => isForEverybody(value))
      .map(({ value, refers }) => `${value.name}\0${refers.get("route")?.id}`),
  );
  // One that this version does not know may authenticate too.
  const authenticates = enabled.some(
    ({ value: { name } }) =>
      AUTHENTICATE.has(name) || knownPlugin(name) === undefined,
  );
  for (const plugin of enabled) {
    const why = reason(plugin, { routesOf, onRoutes, authenticates });
    if (why !== undefined)
      yield findingOf(
        "unreachable-plugin",
        plugin.entity,
        "",
        `never runs: ${why}`,
      );
  }
}

interface Surroundings {
  readonly routesOf: ReadonlyMap<Linked | undefined, readonly Linked<Route>[]>;
  /** Plugins with the routes that they are scoped to. */
  readonly onRoutes: ReadonlySet<string>;
  readonly authenticates: boolean;
}

function reason(
  { value, refers }: Linked<Plugin>,
  { routesOf, onRoutes, authenticates }: Surroundings,
): string | undefined {
  const service = refers.get("service") as Linked<Service> | undefined;
  const route = refers.get("route") as Linked<Route> | undefined;
  const own = route?.refers.get("service") as Linked<Service> | undefined;
  if ((service ?? own)?.value.enabled === false)
    return `${(service ?? own)?.entity.label ?? ""} is disabled`;
  if (service !== undefined && route !== undefined && own !== service)
    return `${route.entity.label} does not belong to ${service.entity.label}`;
  if (!isForEverybody(value) && !authenticates)
    return `it is for a consumer${value.consumer === undefined ? " group" : ""}, and no plugin authenticates any`;
  const routes =
    route !== undefined
      ? [route]
      : service !== undefined
        ? (routesOf.get(service) ?? [])
        : undefined;
  if (routes === undefined) return undefined;
  if (routes.length === 0)
    return `${service?.entity.label ?? ""} has no routes`;
  const shared = routes.some(({ value: { protocols } }) =>
    protocols.some((protocol) => value.protocols.includes(protocol)),
  );
  if (!shared)
    return `it is for ${value.protocols.join(", ")}, and ${routes.length === 1 ? "the route is" : "the routes are"} for ${[...new Set(routes.flatMap(({ value: { protocols } }) => protocols))].join(", ")}`;
  return route === undefined &&
    isForEverybody(value) &&
    routes.every(({ id }) => onRoutes.has(`${value.name}\0${id}`))
    ? `every route of ${service?.entity.label ?? ""} has a ${value.name} of its own`
    : undefined;
}

function isForEverybody({ consumer, consumerGroup }: Plugin): boolean {
  return consumer === undefined && consumerGroup === undefined;
}

/** Credentials that nothing asks for: told once for each kind. */
export function* unusedCredentials(graph: Graph): Generator<Finding> {
  const enabled = new Set(
    graph
      .all("plugin")
      .filter(({ value }) => value.enabled !== false)
      .map(({ value }) => value.name),
  );
  for (const [kind, asks] of Object.entries(ASKED_FOR_BY)) {
    if (enabled.has(asks)) continue;
    const all: readonly { readonly entity: DeclaredEntity }[] = graph.all(
      kind as keyof typeof ASKED_FOR_BY,
    );
    const [first] = all;
    if (first === undefined) continue;
    const others =
      all.length === 1 ? "" : `, nor are ${all.length - 1} others of its kind`;
    yield findingOf(
      "unused-credential",
      first.entity,
      "",
      `is not asked for: no ${asks} plugin is enabled${others}`,
    );
  }
}
