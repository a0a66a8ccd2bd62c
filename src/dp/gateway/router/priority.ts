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
  /**
   * Number of attribute kinds, their weights, the weights within them, the number of headers, and the priority of
   * expressions, in this order: as one number, of which the higher goes first.
   */
  readonly major: number;
  readonly longestPath: number;
  readonly id: string;
}

/** What a route's priority consists of. */
export function rankOf({ id, conditions }: Prioritised): Rank {
  const { hosts, headers, paths, methods, snis } = conditions;
  const kinds = [
    hosts.length > 0 ? HOST : 0,
    headers.length > 0 ? HEADER : 0,
    paths.length > 0 ? PATH : 0,
    methods.size > 0 ? METHOD : 0,
    snis.size > 0 ? SNI : 0,
  ].filter((kind) => kind > 0);
  const attributes = kinds.length;
  const category = kinds.reduce((sum, kind) => sum + kind, 0);
  const hasRegex = paths.some(({ type }) => type === "regex");
  const weight =
    (hosts.some(({ type, port }) => type !== "exact" && port !== undefined)
      ? WILDCARD_HOST_WITH_PORT
      : 0) +
    (hosts.length > 0 && hosts.every(({ type }) => type === "exact")
      ? PLAIN_HOSTS_ONLY
      : 0) +
    (hasRegex ? REGEX_PATH : 0);
  const counted = Math.min(headers.length, MAX_COUNTED_HEADERS);
  // 3, 7, 3 and 8 bits, and 32 of what means nothing without an expression: exact in a double.
  const bits = (((attributes << 7) | category) << 11) | (weight << 8) | counted;
  return {
    id,
    major: bits * 2 ** 32 + (hasRegex ? conditions.regexPriority : 0),
    longestPath: paths.reduce(
      (most, path) => Math.max(most, pathLength(path)),
      0,
    ),
  };
}

/** Negative when `a` goes before `b`. Two routes never tie: the lower id goes first. */
export function compareRanks(a: Rank, b: Rank): number {
  return (
    b.major - a.major ||
    b.longestPath - a.longestPath ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
  );
}
