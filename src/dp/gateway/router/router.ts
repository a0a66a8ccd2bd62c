import type { HostPattern } from "../../../model/hosts.ts";
import type { Slices } from "../../../model/slices.ts";
import { newEdit } from "../shared-map.ts";
import {
  matchesAllButPath,
  matchPath,
  type PathMatch,
  type PathPattern,
  type RouteRequest,
} from "./conditions.ts";
import { forHost, noHosts, withHost, type HostIndex } from "./host-index.ts";
import { literalPrefix } from "./literal-prefix.ts";
import {
  findTexts,
  withoutText,
  withText,
  type PathNode,
} from "./path-tree.ts";
import {
  compareRanks,
  rankOf,
  type Prioritised,
  type Rank,
} from "./priority.ts";
import type { RankList } from "./rank-list.ts";

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
        const item: Ranked<Route> = { ...rankOf(route), route };
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
    const found: RankList<Ranked<Route>>[] = [];
    forHost(this.#trees, request.host, (tree) => {
      found.length = 0;
      findTexts(tree, request.path, found);
      // Most likely the one with the longest path goes first, and then most others need not be looked at.
      for (let i = found.length - 1; i >= 0; i--)
        best = firstOf(found[i] ?? [], request, best) ?? best;
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
  list: RankList<Ranked<Route>>,
  request: RouteRequest,
  best: Candidate<Route> | undefined,
): Candidate<Route> | undefined {
  for (const run of list)
    for (const item of run) {
      // What follows in the list is no better either.
      if (best !== undefined && compareRanks(item, best.item) >= 0)
        return undefined;
      const { conditions } = item.route;
      if (!matchesAllButPath(conditions, request)) continue;
      const path = matchPath(conditions.paths, request.path);
      if (path !== undefined) return { item, path };
    }
  return undefined;
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
