import type { Route } from "../../gen/holdfast/config/v1/route_pb.js";
import type { Service } from "../../gen/holdfast/config/v1/service_pb.js";
import { parseHostPattern } from "../hosts.ts";
import { isRegexPath } from "../paths.ts";
import { compileRegex, type Regex } from "../regex.ts";
import { findingOf, type Finding } from "./finding.ts";
import type { Graph, Linked } from "./graph.ts";

/** A route with what decides whether it comes before another. */
interface Ranked {
  readonly route: Linked<Route>;
  readonly conditions: Route;
  /** What it is matched by: two routes are compared only when that is the same. */
  readonly categories: string;
  /** In the order of the traditional flavour, the higher first. */
  readonly rank: readonly number[];
  /** Its expressions that match any continuation of what they match. */
  readonly open: readonly Regex[];
}

/** More expressions are not tried on more paths: linting stays quick. */
const MAX_TRIALS = 1_000_000;

/** Routes that never get a request because another takes all that they match. */
export function* shadowedRoutes(graph: Graph): Generator<Finding> {
  const groups = new Map<string, Ranked[]>();
  for (const route of graph.all("route")) {
    const service = route.refers.get("service") as Linked<Service> | undefined;
    // Neither is served.
    if (route.value.expression !== "" || service?.value.enabled === false)
      continue;
    const ranked = rank(route);
    const group = groups.get(ranked.categories) ?? [];
    groups.set(ranked.categories, group);
    group.push(ranked);
  }
  for (const group of groups.values()) {
    const find = finder(group);
    for (const one of group) {
      const by = find(one);
      if (by !== undefined)
        yield findingOf(
          "shadowed-route",
          one.route.entity,
          "",
          `never gets a request: all that it matches goes to ${describe(by)}`,
        );
    }
  }
}

/** Looks for a route that comes before one and covers it. */
function finder(group: readonly Ranked[]): (one: Ranked) => Ranked | undefined {
  const sorted = [...group].sort(compare);
  const place = new Map(sorted.map((one, i) => [one, i]));
  const open = sorted.filter((one) => one.open.length > 0);
  const long = sorted.filter(({ conditions }) => conditions.paths.length > 1);
  const byPath = new Map<string, Ranked[]>();
  for (const one of sorted)
    for (const path of pathsOf(one.conditions)) {
      const same = byPath.get(path) ?? [];
      byPath.set(path, same);
      same.push(one);
    }
  let trials = 0;
  return (one) => {
    const [first = ""] = pathsOf(one.conditions);
    trials += open.length + long.length;
    const others = trials > MAX_TRIALS ? [] : [...open, ...long];
    return [...(byPath.get(first) ?? []), ...others].find(
      (other) =>
        (place.get(other) ?? 0) < (place.get(one) ?? 0) && covers(other, one),
    );
  };
}

/** A route without paths is looked up by none. */
function pathsOf({ paths }: Route): readonly string[] {
  return paths.length === 0 ? [""] : paths;
}

function rank(route: Linked<Route>): Ranked {
  const conditions = route.value;
  const { hosts, headers, paths, methods, snis } = conditions;
  const parsed = hosts.map((host) => parseHostPattern(host));
  const isExact = (host: (typeof parsed)[number]) =>
    host.ok && host.host.type === "exact";
  const hasRegex = paths.some(isRegexPath);
  const flag = (is: boolean) => (is ? 1 : 0);
  return {
    route,
    conditions,
    categories: JSON.stringify([
      hosts.length > 0,
      paths.length > 0,
      methods.length > 0,
      snis.length > 0,
      conditions.sources,
      conditions.destinations,
      Object.entries(headers)
        .map(([name, { values }]) => [name.toLowerCase(), [...values].sort()])
        .sort(),
    ]),
    rank: [
      flag(
        parsed.some(
          (host) => !isExact(host) && host.ok && host.host.port !== undefined,
        ),
      ),
      flag(hosts.length > 0 && parsed.every(isExact)),
      flag(hasRegex),
      hasRegex ? conditions.regexPriority : 0,
      Math.max(0, ...paths.map(({ length }) => length)),
    ],
    open: paths.filter(isRegexPath).flatMap((path) => {
      const compiled = compileRegex(path.slice(1));
      return compiled.ok && !ENDS.test(path) ? [compiled.regex] : [];
    }),
  };
}

/** What can make an expression match a text and not its continuation. */
const ENDS = /\$|\\[zZbB]/;

function compare(a: Ranked, b: Ranked): number {
  for (const [i, mine] of a.rank.entries()) {
    const difference = (b.rank[i] ?? 0) - mine;
    if (difference !== 0) return difference;
  }
  return a.route.id < b.route.id ? -1 : 1;
}

/** Whether one matches everything that the other does. They are matched by the same things. */
function covers({ conditions: a, open }: Ranked, { conditions: b }: Ranked) {
  return (
    among(b.protocols, a.protocols) &&
    among(b.hosts.map(lower), a.hosts.map(lower)) &&
    among(b.methods, a.methods) &&
    among(b.snis, a.snis) &&
    b.paths.every(
      (path) =>
        a.paths.includes(path) ||
        (!isRegexPath(path) &&
          (a.paths.some((mine) => path.startsWith(mine)) ||
            open.some((regex) => regex.matchStart(path) !== undefined))),
    )
  );
}

function lower(text: string): string {
  return text.toLowerCase();
}

function among(some: readonly string[], all: readonly string[]): boolean {
  return some.every((one) => all.includes(one));
}

function describe({ route }: Ranked): string {
  const { label, position } = route.entity;
  return `${label} at ${position.file}:${position.line}:${position.column}, which comes first`;
}

/** Routes that nothing answers. */
export function* routesWithoutService(graph: Graph): Generator<Finding> {
  const answering = graph
    .all("plugin")
    .filter(({ value }) => value.enabled !== false);
  const answersAll = answering.some(
    ({ value }) =>
      value.name === "request-termination" && value.route === undefined,
  );
  const answered = new Set(answering.map(({ refers }) => refers.get("route")));
  for (const route of graph.all("route"))
    if (
      route.value.service === undefined &&
      !answersAll &&
      !answered.has(route)
    )
      yield findingOf(
        "route-without-service",
        route.entity,
        "service",
        "is missing, and no plugin of the route answers: its requests get 503",
      );
}
