import { type HostPattern } from "../../../model/hosts.ts";
import { type Regex } from "../../../model/regex.ts";
import type { RequiredTexts } from "./required-texts.ts";

/** One entry of a route's paths. */
export type PathPattern =
  | { readonly type: "prefix"; readonly prefix: string }
  | {
      readonly type: "regex";
      readonly source: string;
      readonly regex: Regex;
      /** What must be in a path that matches. */
      readonly needs: RequiredTexts;
    };

/** One header that must be there, with one of the values (in lower case) or a value that the expression is found in. */
export interface HeaderCondition {
  /** In lower case. */
  readonly name: string;
  readonly accepts:
    | { readonly type: "values"; readonly values: ReadonlySet<string> }
    | { readonly type: "regex"; readonly regex: Regex };
}

/** What a route asks of a request. An attribute that is empty asks nothing. */
export interface RouteConditions {
  readonly methods: ReadonlySet<string>;
  readonly hosts: readonly HostPattern[];
  /** In the order in which they are tried: see `orderPaths`. */
  readonly paths: readonly PathPattern[];
  readonly headers: readonly HeaderCondition[];
  /** In lower case. On plain http they ask nothing, but they count for the priority all the same. */
  readonly snis: ReadonlySet<string>;
  readonly regexPriority: number;
}

/** What the router looks at in a request. */
export interface RouteRequest {
  /** In upper case. */
  readonly method: string;
  /** In lower case, without port; empty when the request names none. */
  readonly host: string;
  /** The port of the Host header, else the scheme's own. */
  readonly port: number;
  /** Normalised, without query. */
  readonly path: string;
  readonly scheme: "http" | "https";
  /** The server name of the TLS handshake, in lower case; undefined when the client gave none. */
  readonly sni?: string | undefined;
  /** All values of a header; the name is in lower case. */
  readonly header: (name: string) => readonly string[];
}

/** Which path of a route matched, and how. */
export interface PathMatch {
  /** The part of the request's path that the pattern matched; empty for a route without paths. */
  readonly prefix: string;
  readonly groups: readonly (string | undefined)[];
  readonly named: ReadonlyMap<string, string>;
}

/**
 * The order in which one route's paths are tried: expressions before prefixes, longer before shorter, as routes
 * themselves are ordered.
 */
export function orderPaths(paths: readonly PathPattern[]): PathPattern[] {
  return [...paths].sort(
    (a, b) =>
      Number(b.type === "regex") - Number(a.type === "regex") ||
      pathLength(b) - pathLength(a),
  );
}

/** The length of a path as the configuration has it, without the "~" of an expression. */
export function pathLength(path: PathPattern): number {
  return path.type === "regex" ? path.source.length : path.prefix.length;
}

/** Whether a request meets everything but the path. */
export function matchesAllButPath(
  conditions: RouteConditions,
  request: RouteRequest,
): boolean {
  const { methods, hosts, headers, snis } = conditions;
  return (
    (snis.size === 0 ||
      request.scheme === "http" ||
      (request.sni !== undefined && snis.has(request.sni))) &&
    (methods.size === 0 || methods.has(request.method)) &&
    (hosts.length === 0 || hosts.some((host) => matchesHost(host, request))) &&
    headers.every((header) => matchesHeader(header, request))
  );
}

const NO_PATH: PathMatch = { prefix: "", groups: [], named: new Map() };

/** What a prefix of so many characters matched. */
export function prefixMatch(path: string, length: number): PathMatch {
  return { ...NO_PATH, prefix: path.slice(0, length) };
}

/** How a request's path matches; undefined when it does not. */
export function matchPath(
  paths: readonly PathPattern[],
  path: string,
): PathMatch | undefined {
  if (paths.length === 0) return NO_PATH;
  for (const pattern of paths) {
    if (pattern.type === "regex") {
      if (!hasAll(pattern.needs, path)) continue;
      const match = pattern.regex.matchStart(path);
      if (match !== undefined)
        return { prefix: match.text, groups: match.groups, named: match.named };
    } else if (path.startsWith(pattern.prefix))
      return { ...NO_PATH, prefix: pattern.prefix };
  }
  return undefined;
}

function hasAll({ texts, ignoresCase }: RequiredTexts, path: string): boolean {
  if (texts.length === 0) return true;
  const looked = ignoresCase ? path.toLowerCase() : path;
  return texts.every((text) => looked.includes(text));
}

function matchesHost(pattern: HostPattern, request: RouteRequest): boolean {
  if (pattern.port !== undefined && pattern.port !== request.port) return false;
  const { host } = request;
  switch (pattern.type) {
    case "exact":
      return host === pattern.name;
    case "suffix":
      return host.length > pattern.name.length && host.endsWith(pattern.name);
    case "prefix":
      return host.length > pattern.name.length && host.startsWith(pattern.name);
    default:
      return pattern.type satisfies never;
  }
}

function matchesHeader(
  condition: HeaderCondition,
  request: RouteRequest,
): boolean {
  const { accepts } = condition;
  return request
    .header(condition.name)
    .some((value) =>
      accepts.type === "values"
        ? accepts.values.has(value.toLowerCase())
        : accepts.regex.test(value),
    );
}
