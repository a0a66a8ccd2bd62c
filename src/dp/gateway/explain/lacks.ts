import type { HostPattern } from "../../../model/hosts.ts";
import {
  matchesAllButPath,
  matchPath,
  pathLength,
  type HeaderCondition,
  type PathPattern,
  type RouteConditions,
  type RouteRequest,
} from "../router/conditions.ts";
import { compareRanks, rankOf, type Prioritised } from "../router/priority.ts";

/** Asks nothing: each attribute of a route is tried alone. */
const ANY: RouteConditions = {
  methods: new Set(),
  hosts: [],
  paths: [],
  headers: [],
  snis: new Set(),
  regexPriority: 0,
};

/** What a request would need to meet a route, in words; nothing when it does. */
export function lacksOf(
  conditions: RouteConditions,
  request: RouteRequest,
): string[] {
  const { hosts, paths, methods, headers, snis } = conditions;
  const lacks: string[] = [];
  const meets = (some: Partial<RouteConditions>): boolean =>
    matchesAllButPath({ ...ANY, ...some }, request);
  if (!meets({ hosts }))
    lacks.push(
      `host: ${given(request.host)}, not ${either(hosts.map(hostText))}`,
    );
  if (matchPath(paths, request.path) === undefined)
    lacks.push(
      `path: ${request.path} does not begin with ${either(paths.map(pathText))}`,
    );
  if (!meets({ methods }))
    lacks.push(`method: ${request.method}, not ${either([...methods])}`);
  for (const header of headers)
    if (!meets({ headers: [header] })) lacks.push(headerLack(header, request));
  if (!meets({ snis }))
    lacks.push(`server name: ${given(request.sni)}, not ${either([...snis])}`);
  return lacks;
}

/** Why one route goes before another, both of which a request meets. */
export function precedence(first: Prioritised, other: Prioritised): string {
  const [a, b] = [kindsOf(first.conditions), kindsOf(other.conditions)];
  if (a.length !== b.length)
    return `the one chosen asks for more: ${either(a, "and")}, not only ${either(b, "and")}`;
  const more = a.find((kind) => !b.includes(kind));
  if (more !== undefined)
    return `a ${more} counts for more than what this one has`;
  const [c, d] = [first.conditions, other.conditions];
  if (c.headers.length !== d.headers.length && sameBut(first, other))
    return "the one chosen asks for more headers";
  if (hasRegex(c) && !hasRegex(d))
    return "the one chosen has an expression among its paths";
  if (hasRegex(c) && hasRegex(d) && c.regexPriority !== d.regexPriority)
    return `its regex_priority is higher, ${c.regexPriority} and not ${d.regexPriority}`;
  if (longest(c) !== longest(d)) return "its longest path is longer";
  return compareRanks(rankOf(first), rankOf(other)) < 0 &&
    rankOf(first).major === rankOf(other).major
    ? "all else is equal, and its id comes first"
    : "its hosts or paths are more specific";
}

/** Whether nothing before the number of headers tells two routes apart. */
function sameBut(a: Prioritised, b: Prioritised): boolean {
  const without = (route: Prioritised): number =>
    Math.floor(
      rankOf({
        ...route,
        conditions: { ...route.conditions, regexPriority: 0 },
      }).major /
        2 ** 40,
    );
  return without(a) === without(b);
}

function kindsOf({
  hosts,
  headers,
  paths,
  methods,
  snis,
}: RouteConditions): string[] {
  return [
    ...(hosts.length > 0 ? ["host"] : []),
    ...(headers.length > 0 ? ["header"] : []),
    ...(paths.length > 0 ? ["path"] : []),
    ...(methods.size > 0 ? ["method"] : []),
    ...(snis.size > 0 ? ["server name"] : []),
  ];
}

function hasRegex({ paths }: RouteConditions): boolean {
  return paths.some(({ type }) => type === "regex");
}

function longest({ paths }: RouteConditions): number {
  return Math.max(0, ...paths.map(pathLength));
}

function headerLack(
  { name, accepts }: HeaderCondition,
  request: RouteRequest,
): string {
  const values = request.header(name);
  const wanted =
    accepts.type === "values"
      ? either([...accepts.values])
      : `something that ${accepts.regex.source} is found in`;
  return values.length === 0
    ? `header ${name}: not there; wanted is ${wanted}`
    : `header ${name}: ${values.join(", ")}, not ${wanted}`;
}

export function hostText({ type, name, port }: HostPattern): string {
  const text =
    type === "suffix" ? `*${name}` : type === "prefix" ? `${name}*` : name;
  return port === undefined ? text : `${text}:${port}`;
}

export function pathText(path: PathPattern): string {
  return path.type === "prefix" ? path.prefix : `~${path.source}`;
}

function given(text: string | undefined): string {
  return text === undefined || text === "" ? "none" : text;
}

const MAX_LISTED = 5;

function either(all: readonly string[], word: "or" | "and" = "or"): string {
  const listed = all.slice(0, MAX_LISTED);
  if (all.length > listed.length)
    return `${listed.join(", ")} … (${all.length} in all)`;
  if (listed.length === 0) return "nothing";
  const last = listed.pop() ?? "";
  return listed.length === 0 ? last : `${listed.join(", ")} ${word} ${last}`;
}
