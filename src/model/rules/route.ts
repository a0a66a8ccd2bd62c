import type {
  CidrPort,
  HeaderValues,
  Route,
} from "../../gen/holdfast/config/v1/route_pb.js";
import { isCidr } from "../addresses.ts";
import { parseHostPattern } from "../hosts.ts";
import { isRegexPath, normalisePath } from "../paths.ts";
import { show, type Problem } from "../problem.ts";
import { compileRegex } from "../regex.ts";
import { isHeaderName } from "./header-name.ts";

/** The attributes that requests are matched by. */
type Matcher =
  | "methods"
  | "hosts"
  | "paths"
  | "headers"
  | "snis"
  | "sources"
  | "destinations";

const MATCHERS: readonly Matcher[] = [
  "methods",
  "hosts",
  "paths",
  "headers",
  "snis",
  "sources",
  "destinations",
];

interface ProtocolGroup {
  readonly protocols: readonly string[];
  /** What routes of these protocols can match by; at least one is needed. */
  readonly matchers: readonly Matcher[];
  /** Matchers that only some of the protocols have, and which. */
  readonly only: Partial<Record<Matcher, readonly string[]>>;
}

/** A route's protocols are all of one group. */
const GROUPS: readonly ProtocolGroup[] = [
  {
    protocols: ["http", "https"],
    matchers: ["methods", "hosts", "paths", "headers", "snis"],
    only: { snis: ["https"] },
  },
  {
    protocols: ["grpc", "grpcs"],
    matchers: ["hosts", "paths", "headers", "snis"],
    only: { snis: ["grpcs"] },
  },
  {
    protocols: ["ws", "wss"],
    matchers: ["hosts", "paths", "headers", "snis"],
    only: { snis: ["wss"] },
  },
  {
    protocols: ["tcp", "tls", "udp"],
    matchers: ["snis", "sources", "destinations"],
    only: { snis: ["tls"] },
  },
  {
    protocols: ["tls_passthrough"],
    matchers: ["snis"],
    only: {},
  },
];

/** What is wrong with a route beyond the rules of its single fields. */
export function routeProblems(route: Route): Problem[] {
  return [
    ...matcherProblems(route),
    ...route.hosts.flatMap((host, i) => hostProblems(host, `hosts[${i}]`)),
    ...route.paths.flatMap((path, i) =>
      pathReasons(path).map((reason) => ({ field: `paths[${i}]`, reason })),
    ),
    ...Object.entries(route.headers).flatMap(([name, values]) =>
      headerProblems(name, values),
    ),
    ...route.snis.flatMap((sni, i) => sniProblems(sni, `snis[${i}]`)),
    ...route.sources.flatMap((end, i) => endProblems(end, `sources[${i}]`)),
    ...route.destinations.flatMap((end, i) =>
      endProblems(end, `destinations[${i}]`),
    ),
  ];
}

/** What is wrong with a name that a certificate is for: "*" is the certificate of clients that ask for no other. */
export function serverNameProblems(sni: string, field: string): Problem[] {
  return sni === "*" ? [] : sniProblems(sni, field);
}

/** What is wrong with a name of TLS that may be a wildcard. */
export function sniProblems(sni: string, field: string): Problem[] {
  const parsed = parseHostPattern(sni);
  if (!parsed.ok) return [{ field, reason: parsed.reason }];
  if (parsed.host.port !== undefined)
    return [{ field, reason: `must not have a port, got ${show(sni)}` }];
  return /^\[|^[0-9.]+$/.test(parsed.host.name)
    ? [
        {
          field,
          reason: `must be a host name: TLS sends no name for an address, got ${show(sni)}`,
        },
      ]
    : [];
}

function isGiven(route: Route, matcher: Matcher): boolean {
  return matcher === "headers"
    ? Object.keys(route.headers).length > 0
    : route[matcher].length > 0;
}

function matcherProblems(route: Route): Problem[] {
  const { protocols } = route;
  const given = MATCHERS.filter((matcher) => isGiven(route, matcher));
  const [first = ""] = protocols;
  const group = GROUPS.find((g) => g.protocols.includes(first));
  // A protocol that is none is the field's own rule.
  if (group === undefined) return [];
  const odd = protocols.find((p) => !group.protocols.includes(p));
  if (odd !== undefined)
    return [
      {
        field: "protocols",
        reason: `${show(first)} and ${show(odd)} cannot stand together: all must be of one of the groups ${GROUPS.map((g) => `{${g.protocols.join(", ")}}`).join(", ")}`,
      },
    ];
  const problems: Problem[] = [];
  if (route.expression !== "") {
    for (const field of given)
      problems.push({
        field,
        reason: "cannot stand beside expression: only one of them",
      });
    return problems;
  }
  const listed = protocols.join(", ");
  const usable = group.matchers.filter((matcher) => {
    const only = group.only[matcher];
    return only === undefined || protocols.some((p) => only.includes(p));
  });
  for (const field of given)
    if (!usable.includes(field)) {
      const by = GROUPS.flatMap((g) =>
        g.matchers.includes(field) ? (g.only[field] ?? g.protocols) : [],
      );
      problems.push({
        field,
        reason: `only with protocol ${by.join(", ")}; the route's are ${listed}`,
      });
    }
  if (!usable.some((matcher) => given.includes(matcher)))
    problems.push({
      field: "",
      reason: `needs at least one of ${usable.join(", ")} to match requests by (protocols: ${listed})`,
    });
  if (group.protocols.includes("grpc") && route.stripPath === true)
    problems.push({
      field: "strip_path",
      reason: "must be false with protocol grpc or grpcs",
    });
  return problems;
}

function hostProblems(host: string, field: string): Problem[] {
  const parsed = parseHostPattern(host);
  return parsed.ok ? [] : [{ field, reason: parsed.reason }];
}

function pathReasons(path: string): string[] {
  if (!path.startsWith("/") && !path.startsWith("~/"))
    return [
      `must start with "/" (a prefix) or "~/" (a regular expression), got ${show(path)}`,
    ];
  const reasons: string[] = [];
  if (path.includes("//"))
    reasons.push(`must not have an empty segment ("//"), got ${show(path)}`);
  if (isRegexPath(path)) {
    const compiled = compileRegex(path.slice(1));
    if (!compiled.ok) reasons.push(compiled.reason);
    return reasons;
  }
  const bad = /%(?![0-9a-fA-F]{2}).{0,2}/s.exec(path);
  if (bad !== null)
    reasons.push(`has ${show(bad[0])}, which is not a percent-escape`);
  const normalised = normalisePath(path);
  if (reasons.length === 0 && normalised !== path)
    reasons.push(
      `is not in normal form, so it would never match: write ${show(normalised)} instead of ${show(path)}`,
    );
  return reasons;
}

function headerProblems(name: string, { values }: HeaderValues): Problem[] {
  const field = `headers[${show(name)}]`;
  if (name.toLowerCase() === "host")
    return [{ field, reason: "the header host is matched by the field hosts" }];
  const problems: Problem[] = [];
  if (!isHeaderName(name))
    problems.push({ field, reason: "is not the name of a header" });
  if (values.length === 0)
    problems.push({ field, reason: "needs at least one value" });
  const [sole = ""] = values;
  if (values.length === 1 && sole.startsWith("~*")) {
    // As data planes compile it: headers are compared without regard to case.
    const compiled = compileRegex(`(?i)${sole.slice(2)}`);
    if (!compiled.ok)
      problems.push({ field: `${field}.values[0]`, reason: compiled.reason });
  }
  return problems;
}

function endProblems({ ip, port }: CidrPort, field: string): Problem[] {
  if (ip === "" && port === undefined)
    return [{ field, reason: "needs an ip, a port or both" }];
  return ip === "" || isCidr(ip)
    ? []
    : [
        {
          field: `${field}.ip`,
          reason: `must be an IP address or a block such as "10.0.0.0/8", got ${show(ip)}`,
        },
      ];
}
