import { pathLength, type RouteConditions } from "./conditions.ts";

/** A route as far as its priority goes. */
export interface Prioritised {
  readonly id: string;
  readonly conditions: RouteConditions;
}

/** The kinds of attributes by their weight: a host says more about a request than a header, and so on. */
const HOST = 64;
const HEADER = 32;
const PATH = 16;
const METHOD = 8;
const SNI = 4;

/** Within a kind: a wildcard host with a port, plain hosts only, an expression among the paths. */
const WILDCARD_HOST_WITH_PORT = 4;
const PLAIN_HOSTS_ONLY = 2;
const REGEX_PATH = 1;

const MAX_COUNTED_HEADERS = 255;

/** A route's place in the order of the traditional flavour; computed once, compared by `compareRanks`. */
export interface Rank {
  readonly id: string;
  readonly attributes: number;
  readonly category: number;
  readonly weight: number;
  readonly headers: number;
  readonly regexPriority: number;
  readonly longestPath: number;
}

/** What a route's priority consists of. */
export function rankOf({ id, conditions }: Prioritised): Rank {
  const { hosts, headers, paths, methods, snis } = conditions;
  const kinds = [
    hosts.length > 0 ? HOST : 0,
    headers.length > 0 ? HEADER : 0,
    paths.length > 0 ? PATH : 0,
    methods.size > 0 ? METHOD : 0,
    snis.length > 0 ? SNI : 0,
  ].filter((kind) => kind > 0);
  return {
    id,
    attributes: kinds.length,
    category: kinds.reduce((sum, kind) => sum + kind, 0),
    weight:
      (hosts.some(({ type, port }) => type !== "exact" && port !== undefined)
        ? WILDCARD_HOST_WITH_PORT
        : 0) +
      (hosts.length > 0 && hosts.every(({ type }) => type === "exact")
        ? PLAIN_HOSTS_ONLY
        : 0) +
      (paths.some(({ type }) => type === "regex") ? REGEX_PATH : 0),
    headers: Math.min(headers.length, MAX_COUNTED_HEADERS),
    regexPriority: conditions.regexPriority,
    longestPath: Math.max(0, ...paths.map(pathLength)),
  };
}

/** Negative when `a` goes before `b`. Two routes never tie: the lower id goes first. */
export function compareRanks(a: Rank, b: Rank): number {
  return (
    b.attributes - a.attributes ||
    b.category - a.category ||
    b.weight - a.weight ||
    b.headers - a.headers ||
    // Of equal weight, so both have expressions or none has; without one the number means nothing.
    ((a.weight & REGEX_PATH) === 0 ? 0 : b.regexPriority - a.regexPriority) ||
    b.longestPath - a.longestPath ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
  );
}
