import { type HostPattern } from "../../../model/hosts.ts";
import { type Slices } from "../../../model/slices.ts";
import {
  matchesAllButPath,
  matchPath,
  type PathMatch,
  type PathPattern,
  type RouteRequest,
} from "./conditions.ts";
import { literalPrefix } from "./literal-prefix.ts";
import { PathIndex } from "./path-index.ts";
import { compareRanks, rankOf, type Prioritised } from "./priority.ts";
import { sortSlices } from "./sort-slices.ts";

/** The route of a request, and how its path matched. */
export interface RouterMatch<Route> {
  readonly route: Route;
  readonly path: PathMatch;
}

/** Paths by host name; wildcards by the text beside the "*". */
interface HostIndex<T> {
  readonly exact: Map<string, T>;
  readonly suffix: Map<string, T>;
  readonly prefix: Map<string, T>;
}

type Texts = Map<string, number[]>;

/**
 * Finds the route of a request by the rules of Kong's traditional flavour: of all routes whose conditions are met, the
 * one that stands first in the order of priority. Immutable.
 */
export class Router<Route extends Prioritised> {
  /** In the order of priority; an index into it is a route's rank. */
  readonly #routes: readonly Route[];
  readonly #anyHost: PathIndex;
  readonly #hosts: HostIndex<PathIndex>;
  /** The different lengths of the wildcards' texts: only these ends and beginnings of a host are looked up. */
  readonly #suffixLengths: readonly number[];
  readonly #prefixLengths: readonly number[];

  private constructor(
    routes: readonly Route[],
    anyHost: PathIndex,
    hosts: HostIndex<PathIndex>,
  ) {
    this.#routes = routes;
    this.#anyHost = anyHost;
    this.#hosts = hosts;
    this.#suffixLengths = lengthsOf(hosts.suffix.keys());
    this.#prefixLengths = lengthsOf(hosts.prefix.keys());
  }

  /** A router over these routes, in any order. */
  static *build<Route extends Prioritised>(
    routes: readonly Route[],
  ): Slices<Router<Route>> {
    const ranked: { rank: ReturnType<typeof rankOf>; route: Route }[] = [];
    for (const route of routes) {
      ranked.push({ rank: rankOf(route), route });
      if (ranked.length % 64 === 0) yield 64;
    }
    const sorted = yield* sortSlices(ranked, (a, b) =>
      compareRanks(a.rank, b.rank),
    );
    const anyHost: Texts = new Map();
    const hosts: HostIndex<Texts> = newHostIndex();
    for (const [rank, { route }] of sorted.entries()) {
      const { conditions } = route;
      const indexes =
        conditions.hosts.length === 0
          ? [anyHost]
          : conditions.hosts.map((host) => textsOf(hosts, host));
      const texts =
        conditions.paths.length === 0 ? [""] : conditions.paths.map(textOf);
      for (const index of indexes)
        for (const text of texts) add(index, text, rank);
      if (rank % 64 === 63) yield 64;
    }
    return new Router(
      sorted.map(({ route }) => route),
      yield* PathIndex.build(anyHost),
      {
        exact: yield* buildAll(hosts.exact),
        suffix: yield* buildAll(hosts.suffix),
        prefix: yield* buildAll(hosts.prefix),
      },
    );
  }

  /** The route of a request. */
  match(request: RouteRequest): RouterMatch<Route> | undefined {
    let best = Infinity;
    let bestPath: PathMatch | undefined;
    for (const index of this.#indexesOf(request.host))
      for (const ranks of index.find(request.path))
        for (const rank of ranks) {
          // Ranks ascend: what follows cannot be better either.
          if (rank >= best) break;
          const path = this.#matches(rank, request);
          if (path === undefined) continue;
          best = rank;
          bestPath = path;
          break;
        }
    const route = this.#routes[best];
    return route === undefined || bestPath === undefined
      ? undefined
      : { route, path: bestPath };
  }

  #matches(rank: number, request: RouteRequest): PathMatch | undefined {
    const conditions = this.#routes[rank]?.conditions;
    return conditions !== undefined && matchesAllButPath(conditions, request)
      ? matchPath(conditions.paths, request.path)
      : undefined;
  }

  *#indexesOf(host: string): Generator<PathIndex, void, undefined> {
    const exact = this.#hosts.exact.get(host);
    if (exact !== undefined) yield exact;
    for (const length of this.#suffixLengths) {
      const index =
        host.length > length
          ? this.#hosts.suffix.get(host.slice(-length))
          : undefined;
      if (index !== undefined) yield index;
    }
    for (const length of this.#prefixLengths) {
      const index =
        host.length > length
          ? this.#hosts.prefix.get(host.slice(0, length))
          : undefined;
      if (index !== undefined) yield index;
    }
    yield this.#anyHost;
  }
}

/** What a request's path must begin with for the pattern to match. */
function textOf(path: PathPattern): string {
  return path.type === "prefix" ? path.prefix : literalPrefix(path.source);
}

function textsOf(hosts: HostIndex<Texts>, { type, name }: HostPattern): Texts {
  let texts = hosts[type].get(name);
  if (texts === undefined) {
    texts = new Map<string, number[]>();
    hosts[type].set(name, texts);
  }
  return texts;
}

function add(texts: Texts, text: string, rank: number): void {
  const ranks = texts.get(text);
  if (ranks === undefined) texts.set(text, [rank]);
  // Two hosts or two expressions of one route may come to the same.
  else if (ranks.at(-1) !== rank) ranks.push(rank);
}

function* buildAll(
  indexes: ReadonlyMap<string, Texts>,
): Slices<Map<string, PathIndex>> {
  const built = new Map<string, PathIndex>();
  for (const [name, texts] of indexes) {
    built.set(name, yield* PathIndex.build(texts));
    if (built.size % 64 === 0) yield 64;
  }
  return built;
}

function newHostIndex(): HostIndex<Texts> {
  return { exact: new Map(), suffix: new Map(), prefix: new Map() };
}

function lengthsOf(texts: Iterable<string>): number[] {
  return [...new Set([...texts].map((text) => text.length))];
}
