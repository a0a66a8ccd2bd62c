import type { HostPattern } from "../../../model/hosts.ts";
import type { Slices } from "../../../model/slices.ts";
import { newEdit } from "../shared-map.ts";
import {
  matchesAllButPath,
  matchPath,
  prefixMatch,
  type PathMatch,
  type PathPattern,
  type RouteRequest,
} from "./conditions.ts";
import { forHost, noHosts, withHost, type HostIndex } from "./host-index.ts";
import { neededPairs, NO_PAIRS, PathPairs } from "./letter-pairs.ts";
import { literalPrefix } from "./literal-prefix.ts";
import {
  findTexts,
  withoutText,
  withText,
  type FoundText,
  type PathNode,
} from "./path-tree.ts";
import {
  compareRanks,
  rankOf,
  type Prioritised,
  type Rank,
} from "./priority.ts";

/** The route of a request, and how its path matched. */
export interface RouterMatch<Route> {
  readonly route: Route;
  readonly path: PathMatch;
}

/** A route that is not what it was; undefined where there was or is none. */
export interface RouteChange<Route> {
  readonly before: Route | undefined;
  readonly after: Route | undefined;
}

interface Ranked<Route> extends Rank {
  readonly route: Route;
  /** What a path must have for this route's only one to match: seen without looking at the route itself. */
  readonly pairs: number;
  /** Whether nothing is left to be looked at when its host and the beginning of its path are found. */
  readonly plain: boolean;
}

type Trees<Route> = HostIndex<PathNode<Ranked<Route>>>;

/** Places in the trees that are changed between two yields. */
const SLICE_PLACES = 64;

/**
 * Finds the route of a request by the rules of Kong's traditional flavour: of all routes whose conditions are met, the
 * one that stands first in the order of priority. Immutable; shares what did not change with the router it was made from.
 */
export class Router<Route extends Prioritised> {
  readonly size: number;
  readonly #trees: Trees<Route>;

  private constructor(trees: Trees<Route>, size: number) {
    this.#trees = trees;
    this.size = size;
  }

  /** A router of no routes. */
  static empty<Route extends Prioritised>(): Router<Route> {
    return new Router<Route>(noHosts(), 0);
  }

  /** This router with some routes changed. */
  *changed(changes: readonly RouteChange<Route>[]): Slices<Router<Route>> {
    if (changes.length === 0) return this;
    const edit = newEdit();
    let trees = this.#trees;
    let { size } = this;
    let handled = 0;
    for (const { before, after } of changes)
      for (const [route, change] of [
        [before, withoutText],
        [after, withText],
      ] as const) {
        if (route === undefined) continue;
        size += change === withText ? 1 : -1;
        const item = rankedOf(route);
        for (const { host, text } of placesOf(route)) {
          trees = withHost(
            trees,
            host,
            (tree) => change(tree, text, item, compareRanks, edit),
            edit,
          );
          if (++handled === SLICE_PLACES) {
            yield handled;
            handled = 0;
          }
        }
      }
    yield handled;
    return new Router(trees, size);
  }

  /** The route of a request. */
  match(request: RouteRequest): RouterMatch<Route> | undefined {
    let best: Candidate<Route> | undefined;
    const pairs = new PathPairs(request.path);
    forHost(this.#trees, request.host, (tree) => {
      const found = findTexts(tree, request.path);
      // Most likely the one with the longest path goes first, and then most others need not be looked at.
      for (let i = found.length - 1; i >= 0; i--)
        best = firstOf(found[i], request, pairs, best) ?? best;
    });
    return best && { route: best.item.route, path: best.path };
  }
}

interface Candidate<Route> {
  readonly item: Ranked<Route>;
  readonly path: PathMatch;
}

/** The first of a list that matches, if it goes before what was found elsewhere. */
function firstOf<Route extends Prioritised>(
  found: FoundText<Ranked<Route>> | undefined,
  request: RouteRequest,
  pairs: PathPairs,
  best: Candidate<Route> | undefined,
): Candidate<Route> | undefined {
  if (found === undefined) return undefined;
  for (const run of found.items)
    for (const item of run) {
      if (!pairs.mayHave(item.pairs)) continue;
      // What follows in the list is no better either.
      if (best !== undefined && compareRanks(item, best.item) >= 0)
        return undefined;
      if (item.plain)
        return { item, path: prefixMatch(request.path, found.length) };
      const { conditions } = item.route;
      if (!matchesAllButPath(conditions, request)) continue;
      const path = matchPath(conditions.paths, request.path);
      if (path !== undefined) return { item, path };
    }
  return undefined;
}

function rankedOf<Route extends Prioritised>(route: Route): Ranked<Route> {
  const { hosts, paths, methods, headers, snis } = route.conditions;
  const [path, ...others] = paths;
  const pairs =
    path?.type === "regex" && others.length === 0
      ? neededPairs(path.needs)
      : NO_PAIRS;
  const plain =
    methods.size + snis.size + headers.length === 0 &&
    hosts.every(({ port }) => port === undefined) &&
    paths.every(({ type }) => type === "prefix");
  return { ...rankOf(route), route, pairs, plain };
}

/** Where a route stands: every host with every text that a path of it begins with. */
function* placesOf({
  conditions,
}: Prioritised): Generator<
  { readonly host: HostPattern | undefined; readonly text: string },
  void,
  undefined
> {
  const { hosts, paths } = conditions;
  const texts = paths.length === 0 ? [""] : paths.map(textOf);
  for (const host of hosts.length === 0 ? [undefined] : hosts)
    for (const text of texts) yield { host, text };
}

/** What a request's path must begin with for the pattern to match. */
function textOf(path: PathPattern): string {
  return path.type === "prefix" ? path.prefix : literalPrefix(path.source);
}
