import type { Route } from "../../../gen/holdfast/config/v1/route_pb.js";
import { parseHostPattern, type HostPattern } from "../../../model/hosts.ts";
import { isRegexPath } from "../../../model/paths.ts";
import { compileRegex, type Regex } from "../../../model/regex.ts";
import {
  orderPaths,
  type HeaderCondition,
  type PathPattern,
} from "../router/conditions.ts";
import { literalPrefix } from "../router/literal-prefix.ts";
import { requiredTexts } from "../router/required-texts.ts";
import type { ServedRoute } from "../runtime.ts";

/** A route, read; `route` is undefined when it is left out: a stream, WebSocket-only or expressions route. */
export interface RouteDraft {
  readonly kind: "route";
  readonly id: string;
  readonly service: string | undefined;
  readonly route: ServedRoute | undefined;
}

/** Reads a route that the rules have passed. */
export function routeDraft(route: Route): RouteDraft {
  const { id, name, protocols } = route;
  const served =
    protocols.every((p) => SERVED.has(p)) && route.expression === "";
  const grpc = protocols.some((p) => p === "grpc" || p === "grpcs");
  return {
    kind: "route",
    id,
    service: route.service?.id,
    route: served
      ? {
          id,
          name,
          serviceId: route.service?.id,
          conditions: {
            methods: setOf(route.methods),
            hosts: route.hosts.map(readHost),
            paths: orderPaths(route.paths.map(readPath)),
            headers: Object.entries(route.headers).map(([header, { values }]) =>
              readHeader(header, values),
            ),
            snis: setOf(route.snis.map((name) => name.toLowerCase())),
            regexPriority: route.regexPriority,
          },
          httpsOnly: !grpc && !protocols.includes("http"),
          grpc: grpc ? { secureOnly: !protocols.includes("grpc") } : undefined,
          httpsRedirectStatus: route.httpsRedirectStatusCode ?? 426,
          stripPath: !grpc && route.stripPath !== false,
          pathHandling: route.pathHandling === "v1" ? "v1" : "v0",
          preserveHost: route.preserveHost,
        }
      : undefined,
  };
}

/** The protocols of routes that are served. */
const SERVED: ReadonlySet<string> = new Set(["http", "https", "grpc", "grpcs"]);

const NONE: ReadonlySet<string> = new Set();

/** Most routes have no methods or no server names: one empty set does for all of them. */
function setOf(texts: readonly string[]): ReadonlySet<string> {
  return texts.length === 0 ? NONE : new Set(texts);
}

function readHost(text: string): HostPattern {
  const parsed = parseHostPattern(text);
  if (!parsed.ok) throw new TypeError(`hosts: ${parsed.reason}`);
  return parsed.host;
}

function readPath(text: string): PathPattern {
  if (!isRegexPath(text)) return { type: "prefix", prefix: text };
  const source = text.slice(1);
  return {
    type: "regex",
    source,
    regex: readRegex(source, "paths"),
    needs: requiredTexts(source, literalPrefix(source)),
  };
}

/** A sole value "~*…" is an expression, found anywhere in the value, without regard to case. */
function readHeader(name: string, values: readonly string[]): HeaderCondition {
  const lower = name.toLowerCase();
  const [sole = ""] = values;
  if (values.length === 1 && sole.startsWith("~*"))
    return {
      name: lower,
      accepts: {
        type: "regex",
        regex: readRegex(`(?i)${sole.slice(2)}`, "headers"),
      },
    };
  return {
    name: lower,
    accepts: {
      type: "values",
      values: new Set(values.map((value) => value.toLowerCase())),
    },
  };
}

function readRegex(source: string, field: string): Regex {
  const compiled = compileRegex(source);
  if (!compiled.ok) throw new TypeError(`${field}: ${compiled.reason}`);
  return compiled.regex;
}
