import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { Plugin } from "../../src/gen/holdfast/config/v1/plugin_pb.js";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import type { Route } from "../../src/gen/holdfast/config/v1/route_pb.js";
import type { Service } from "../../src/gen/holdfast/config/v1/service_pb.js";

/** A request as far as routing and plugins look at it. */
export interface Asking {
  readonly method: string;
  /** The Host header. */
  readonly host: string;
  /** Without query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Whether it brings a key that its consumer is known by. */
  readonly consumer?: string;
}

/** What should come back. */
export type Expected =
  | { readonly type: "no route" }
  | { readonly type: "no service" }
  | { readonly type: "https"; readonly status: number }
  /** The gateway has none of these plugins, which the request should pass. */
  | { readonly type: "lacks"; readonly plugins: readonly string[] }
  | {
      readonly type: "plugin";
      readonly plugin: string;
      readonly status: number;
    }
  | {
      readonly type: "served";
      readonly service: string;
      /** Undefined where a plugin rewrites it. */
      readonly url: string | undefined;
    };

/**
 * What a gateway should do with a request, as plainly as the rules of Kong's traditional flavour can be written down: by
 * looking at every route. It shares nothing with the router and the plugin chains that it is there to judge.
 */
export class NaiveGateway {
  readonly services = new Map<string, Service>();
  /** Those that are served at all. */
  readonly routes: readonly Route[];
  readonly #plugins: readonly Plugin[];
  /** By the consumer's id, or its name. */
  readonly #groups = new Map<string, string[]>();
  readonly #has: ReadonlySet<string>;

  /** @param has The plugins that the gateway has. */
  constructor(resources: readonly Resource[], has: ReadonlySet<string>) {
    const routes: Route[] = [];
    const plugins: Plugin[] = [];
    for (const { kind } of resources) {
      if (kind.case === "service") this.services.set(kind.value.id, kind.value);
      if (kind.case === "route") routes.push(kind.value);
      if (kind.case === "plugin") plugins.push(kind.value);
      if (kind.case === "acl") {
        const consumer = kind.value.consumer?.id ?? "";
        const groups = this.#groups.get(consumer) ?? [];
        this.#groups.set(consumer, [...groups, kind.value.group]);
      }
    }
    this.routes = routes.filter((route) => this.#isServed(route));
    this.#plugins = plugins.filter(
      ({ enabled, protocols }) =>
        enabled !== false && protocols.some((p) => !STREAMS.has(p)),
    );
    this.#has = has;
  }

  answer(request: Asking): Expected {
    const route = this.routes
      .filter((candidate) => matches(candidate, request))
      .sort(byPriority)[0];
    if (route === undefined) return { type: "no route" };
    if (!route.protocols.includes("http"))
      return { type: "https", status: route.httpsRedirectStatusCode ?? 426 };
    const lacking = this.pluginsOf(route)
      .map(({ name }) => name)
      .filter((name) => !this.#has.has(name));
    if (lacking.length > 0) return { type: "lacks", plugins: lacking };
    const answered = this.#pluginAnswer(route, request);
    if (answered !== undefined) return answered;
    const service = this.services.get(route.service?.id ?? "");
    if (service === undefined) return { type: "no service" };
    return {
      type: "served",
      service: service.id,
      url: this.pluginsOf(route).some(
        ({ name }) => name === "request-transformer",
      )
        ? undefined
        : upstreamPath(service.path, route, request.path),
    };
  }

  /** The plugins for requests without a consumer: of each name the one with the narrowest scope. */
  pluginsOf(route: Route): readonly Plugin[] {
    const chosen = new Map<string, Plugin>();
    const narrowness = (plugin: Plugin): number =>
      (plugin.route === undefined ? 0 : 2) +
      (plugin.service === undefined ? 0 : 1);
    for (const plugin of this.#plugins) {
      const covers =
        plugin.consumer === undefined &&
        plugin.consumerGroup === undefined &&
        (plugin.route === undefined || plugin.route.id === route.id) &&
        (plugin.service === undefined ||
          plugin.service.id === route.service?.id);
      const other = chosen.get(plugin.name);
      if (
        covers &&
        (other === undefined || narrowness(plugin) > narrowness(other))
      )
        chosen.set(plugin.name, plugin);
    }
    return [...chosen.values()];
  }

  /** The first plugin that answers a request which has a key or nothing to show for itself, and comes from this machine. */
  #pluginAnswer(route: Route, request: Asking): Expected | undefined {
    const plugins = this.pluginsOf(route);
    const config = (name: string) =>
      plugins.find((plugin) => plugin.name === name)?.config;
    const by = (plugin: string, status: number): Expected => ({
      type: "plugin",
      plugin,
      status,
    });
    let anonymous = "";
    for (const name of ["jwt", "key-auth", "basic-auth"]) {
      const own = config(name);
      if (own === undefined) continue;
      if (request.method === "OPTIONS" && own["run_on_preflight"] === false)
        continue;
      if (name === "key-auth" && request.consumer !== undefined) continue;
      anonymous = text(own["anonymous"]);
      if (anonymous === "") return by(name, 401);
    }
    const addresses = config("ip-restriction");
    if (addresses !== undefined && !lists(addresses, "allow", isHere))
      return by("ip-restriction", 403);
    const acl = config("acl");
    if (acl !== undefined) {
      const known =
        config("key-auth") === undefined ? undefined : request.consumer;
      const groups = this.#groups.get(known ?? anonymous) ?? [];
      const consumer = known ?? anonymous;
      if (consumer === "") return by("acl", 401);
      if (lists(acl, "deny", (group) => groups.includes(group)))
        return by("acl", 403);
      const allow = acl["allow"];
      if (
        Array.isArray(allow) &&
        allow.length > 0 &&
        !lists(acl, "allow", (group) => groups.includes(group))
      )
        return by(
          "acl",
          known === undefined && groups.length === 0 ? 401 : 403,
        );
    }
    const termination = config("request-termination");
    return termination !== undefined && (termination["trigger"] ?? "") === ""
      ? by("request-termination", Number(termination["status_code"] ?? 503))
      : undefined;
  }

  #isServed(route: Route): boolean {
    const service = this.services.get(route.service?.id ?? "");
    return (
      route.expression === "" &&
      route.protocols.every((p) => p === "http" || p === "https") &&
      (service === undefined ||
        (service.enabled !== false &&
          ["http", "https"].includes(service.protocol ?? "http")))
    );
  }
}

/** Whether a list of texts has one that fits. */
function lists(
  config: JsonObject,
  field: string,
  fits: (text: string) => boolean,
): boolean {
  const list = config[field];
  return Array.isArray(list) && list.some((item) => fits(text(item)));
}

function text(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}

/** Whether a network has this machine in it. */
function isHere(network: string): boolean {
  return network.startsWith("127.") || network === "0.0.0.0/0";
}

const STREAMS: ReadonlySet<string> = new Set([
  "tcp",
  "tls",
  "tls_passthrough",
  "udp",
]);

/** A path of a route that is an expression; as JavaScript reads it, at the beginning of the text. */
export function pathExpression(path: string): RegExp | undefined {
  return path.startsWith("~")
    ? new RegExp(`^(?:${path.slice(1).replaceAll("(?P<", "(?<")})`)
    : undefined;
}

function matches(route: Route, request: Asking): boolean {
  const { methods, hosts, paths } = route;
  return (
    (methods.length === 0 || methods.includes(request.method)) &&
    (hosts.length === 0 ||
      hosts.some((host) => matchesHost(host, request.host))) &&
    (paths.length === 0 ||
      paths.some((path) => matchedText(path, request.path) !== undefined)) &&
    Object.entries(route.headers).every(([name, { values }]) =>
      values.includes(request.headers[name.toLowerCase()] ?? ""),
    )
  );
}

function matchesHost(pattern: string, host: string): boolean {
  const name = pattern.includes(":") ? host : (host.split(":")[0] ?? "");
  if (pattern.startsWith("*")) return name.endsWith(pattern.slice(1));
  if (pattern.endsWith("*")) return name.startsWith(pattern.slice(0, -1));
  return name.toLowerCase() === pattern.toLowerCase();
}

function matchedText(pattern: string, path: string): string | undefined {
  const expression = pathExpression(pattern);
  if (expression !== undefined) return expression.exec(path)?.[0];
  return path.startsWith(pattern) ? pattern : undefined;
}

/** More kinds of conditions first, then the weightier kinds, then the details of hosts, headers and paths, then the id. */
function byPriority(a: Route, b: Route): number {
  const keys = (route: Route): number[] => {
    const { hosts, headers, paths, methods, snis } = route;
    const kinds = [hosts, Object.keys(headers), paths, methods, snis].map(
      (conditions) => (conditions.length > 0 ? 1 : 0),
    );
    const hasRegex = paths.some((path) => path.startsWith("~"));
    return [
      kinds.reduce<number>((sum, kind) => sum + kind, 0),
      ...kinds,
      hosts.some((h) => h.includes("*") && h.includes(":")) ? 1 : 0,
      hosts.length > 0 && hosts.every((h) => !h.includes("*")) ? 1 : 0,
      hasRegex ? 1 : 0,
      Object.keys(headers).length,
      hasRegex ? route.regexPriority : 0,
      Math.max(0, ...paths.map((path) => path.replace(/^~/, "").length)),
    ];
  };
  const own = keys(a);
  const other = keys(b);
  const at = own.findIndex((key, i) => key !== other[i]);
  return at === -1 ? (a.id < b.id ? -1 : 1) : (other[at] ?? 0) - (own[at] ?? 0);
}

/** The path that the service is asked for. */
function upstreamPath(base: string, route: Route, path: string): string {
  const matched = [...route.paths]
    .sort(
      (a, b) =>
        Number(b.startsWith("~")) - Number(a.startsWith("~")) ||
        b.length - a.length,
    )
    .map((pattern) => matchedText(pattern, path))
    .find((text) => text !== undefined);
  const strip = route.stripPath !== false;
  const prefix = base === "" ? "/" : base;
  if (route.pathHandling === "v1")
    return (
      prefix + (strip ? path.slice(matched?.length ?? 0) : path.slice(1))
    ).replace(/\/{2,}/g, "/");
  const rest = strip ? path.slice(matched?.length ?? 0) : path;
  const folder = prefix.replace(/\/$/, "");
  if (rest !== "" && (rest !== "/" || strip))
    return `${folder}/${rest.replace(/^\//, "")}`;
  if (strip && path.length > 1 && path.endsWith("/")) return `${folder}/`;
  return folder === "" ? "/" : strip ? folder : prefix;
}
