import {
  CorsConfigSchema,
  type CorsConfig,
} from "../../../gen/holdfast/plugin/v1/plugins_pb.js";
import {
  definePlugin,
  type Exchange,
  type MutableHeaders,
  type PluginHandlers,
} from "../plugin.ts";
import { allowedOrigins, type AllowedOrigins } from "./origins.ts";

/** "cors": tells browsers which other origins' scripts may use the API. */
export const cors = definePlugin({
  name: "cors",
  version: 1,
  priority: 2000,
  schema: CorsConfigSchema,
  create,
});

/** Headers in the making: a set header replaces, Vary is added to. */
type Headers = Pick<MutableHeaders, "get" | "set" | "delete">;

function create(config: CorsConfig): PluginHandlers {
  const origins = allowedOrigins(config.origins);
  // The answer to a preflight has its headers already, or they are the upstream's business.
  const preflights = new WeakSet<Exchange>();
  return {
    access: (exchange) => {
      if (!isPreflight(exchange)) return undefined;
      preflights.add(exchange);
      if (config.preflightContinue) return undefined;
      const made = new Map<string, string>();
      preflightHeaders(config, origins, exchange, {
        get: (name) => {
          const value = made.get(name);
          return value === undefined ? [] : [value];
        },
        set: (name, ...values) => made.set(name, values.join(", ")),
        delete: (name) => made.delete(name),
      });
      return { status: 200, headers: Object.fromEntries(made) };
    },
    headerFilter: (exchange, { headers }) => {
      if (preflights.has(exchange)) return;
      const origin = originOf(exchange);
      if (origin === undefined && config.allowOriginAbsent === false) return;
      originHeaders(config, origins, origin, headers);
      if (config.exposedHeaders.length > 0)
        headers.set(
          "Access-Control-Expose-Headers",
          config.exposedHeaders.join(","),
        );
    },
  };
}

function isPreflight({ request }: Exchange): boolean {
  return (
    request.method === "OPTIONS" &&
    request.header("origin").length > 0 &&
    request.header("access-control-request-method").length > 0
  );
}

function preflightHeaders(
  config: CorsConfig,
  origins: AllowedOrigins,
  exchange: Exchange,
  headers: Headers,
): void {
  const { request } = exchange;
  originHeaders(config, origins, originOf(exchange), headers);
  const asked = request.header("access-control-request-headers").join(", ");
  const allowed = config.headers.length > 0 ? config.headers.join(",") : asked;
  if (allowed !== "") headers.set("Access-Control-Allow-Headers", allowed);
  headers.set("Access-Control-Allow-Methods", config.methods.join(","));
  if (config.maxAge !== undefined)
    headers.set("Access-Control-Max-Age", String(config.maxAge));
  const [wantsPrivate] = request.header(
    "access-control-request-private-network",
  );
  if (config.privateNetwork && wantsPrivate === "true")
    headers.set("Access-Control-Allow-Private-Network", "true");
}

/** Who may use the answer, and whether with credentials. */
function originHeaders(
  config: CorsConfig,
  origins: AllowedOrigins,
  origin: string | undefined,
  headers: Headers,
): void {
  switch (origins.type) {
    case "any":
      // Browsers refuse "*" together with credentials: then it is the asking origin, and caches must know that.
      if (config.credentials && origin !== undefined) {
        addVary(headers);
        headers.set("Access-Control-Allow-Origin", origin);
        headers.set("Access-Control-Allow-Credentials", "true");
      } else headers.set("Access-Control-Allow-Origin", "*");
      return;
    case "one":
      addVary(headers);
      headers.set("Access-Control-Allow-Origin", origins.origin);
      break;
    case "some":
      addVary(headers);
      if (origin === undefined || !origins.allows(origin)) {
        // Not even what the upstream allows.
        headers.delete("Access-Control-Allow-Origin");
        headers.delete("Access-Control-Allow-Credentials");
        return;
      }
      headers.set("Access-Control-Allow-Origin", origin);
      break;
    default:
      origins satisfies never;
  }
  if (config.credentials)
    headers.set("Access-Control-Allow-Credentials", "true");
}

function addVary(headers: Headers): void {
  const values = headers.get("Vary").join(", ");
  const names = values.split(",").map((name) => name.trim().toLowerCase());
  if (names.includes("origin") || names.includes("*")) return;
  headers.set("Vary", values === "" ? "Origin" : `${values}, Origin`);
}

function originOf({ request }: Exchange): string | undefined {
  return request.header("origin")[0];
}
