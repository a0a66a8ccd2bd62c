import type { Upstream } from "../../gen/holdfast/config/v1/upstream_pb.js";
import {
  isAddress,
  isHostname,
  parseHostPattern,
  splitHostPort,
} from "../hosts.ts";
import { show, type Problem } from "../problem.ts";
import { isHeaderName } from "./header-name.ts";
import { sniProblems } from "./route.ts";

/** What is wrong with an upstream beyond the rules of its single fields. */
export function upstreamProblems(upstream: Upstream): Problem[] {
  return [
    ...nameProblems(upstream.name),
    ...hashProblems(upstream),
    ...hostHeaderProblems(upstream.hostHeader),
    ...probeProblems(upstream),
  ];
}

function nameProblems(name: string): Problem[] {
  if (name === "" || isHostname(name)) return [];
  const split = splitHostPort(name);
  const reason =
    isAddress(name) || isAddress(name.replaceAll(/[[\]]/g, ""))
      ? `must be a host name, not an address, got ${show(name)}`
      : split?.port !== undefined
        ? `must not have a port, got ${show(name)}`
        : `must be a host name (letters, digits, "-", "_", "."), got ${show(name)}`;
  return [{ field: "name", reason }];
}

/** The field that a hash needs beside it. */
interface Companion {
  readonly field: string;
  readonly value: string;
}

function hashProblems(upstream: Upstream): Problem[] {
  const on = upstream.hashOn ?? "none";
  const fallback = upstream.hashFallback ?? "none";
  const cookie = { field: "hash_on_cookie", value: upstream.hashOnCookie };
  const onCompanion = new Map<string, Companion>([
    ["header", { field: "hash_on_header", value: upstream.hashOnHeader }],
    ["cookie", cookie],
    [
      "query_arg",
      { field: "hash_on_query_arg", value: upstream.hashOnQueryArg },
    ],
    [
      "uri_capture",
      { field: "hash_on_uri_capture", value: upstream.hashOnUriCapture },
    ],
  ]).get(on);
  const fallbackCompanion = new Map<string, Companion>([
    [
      "header",
      { field: "hash_fallback_header", value: upstream.hashFallbackHeader },
    ],
    ["cookie", cookie],
    [
      "query_arg",
      {
        field: "hash_fallback_query_arg",
        value: upstream.hashFallbackQueryArg,
      },
    ],
    [
      "uri_capture",
      {
        field: "hash_fallback_uri_capture",
        value: upstream.hashFallbackUriCapture,
      },
    ],
  ]).get(fallback);
  const problems: Problem[] = [];
  if (onCompanion?.value === "")
    problems.push({
      field: onCompanion.field,
      reason: `is required with hash_on ${show(on)}`,
    });
  if (fallbackCompanion?.value === "")
    problems.push({
      field: fallbackCompanion.field,
      reason: `is required with hash_fallback ${show(fallback)}`,
    });
  if (fallback !== "none") {
    if (on === "none" || on === "cookie")
      problems.push({
        field: "hash_fallback",
        reason: `must be "none" with hash_on ${show(on)}, got ${show(fallback)}`,
      });
    else if (on === fallback && sameHash(onCompanion, fallbackCompanion, on))
      problems.push({
        field: "hash_fallback",
        reason: `must be another than hash_on (${show(on)}): it would yield nothing either`,
      });
  }
  for (const [field, header] of [
    ["hash_on_header", upstream.hashOnHeader],
    ["hash_fallback_header", upstream.hashFallbackHeader],
  ] as const)
    if (header !== "" && !isHeaderName(header))
      problems.push({
        field,
        reason: `must be the name of a header, got ${show(header)}`,
      });
  if (upstream.hashOnCookie !== "" && !isHeaderName(upstream.hashOnCookie))
    problems.push({
      field: "hash_on_cookie",
      reason: `must be the name of a cookie, got ${show(upstream.hashOnCookie)}`,
    });
  const path = upstream.hashOnCookiePath ?? "/";
  if (!/^\/[ -:<-~]*$/.test(path))
    problems.push({
      field: "hash_on_cookie_path",
      reason: `must start with "/" and be fit for a cookie, got ${show(path)}`,
    });
  return problems;
}

function sameHash(
  on: Companion | undefined,
  fallback: Companion | undefined,
  kind: string,
): boolean {
  if (on === undefined || fallback === undefined) return true;
  return kind === "header"
    ? on.value.toLowerCase() === fallback.value.toLowerCase()
    : on.value === fallback.value;
}

function hostHeaderProblems(header: string): Problem[] {
  if (header === "") return [];
  const parsed = parseHostPattern(header);
  return parsed.ok && parsed.host.type === "exact"
    ? []
    : [
        {
          field: "host_header",
          reason: `must be a host name with an optional port, got ${show(header)}`,
        },
      ];
}

function probeProblems({ healthchecks }: Upstream): Problem[] {
  const active = healthchecks?.active;
  if (active === undefined) return [];
  const at = "healthchecks.active";
  return [
    ...(active.httpsSni === ""
      ? []
      : sniProblems(active.httpsSni, `${at}.https_sni`)),
    ...(/^[!-~]*$/.test(active.httpPath ?? "/")
      ? []
      : [
          {
            field: `${at}.http_path`,
            reason: `must be a path without blanks and with everything beyond ASCII escaped, got ${show(active.httpPath)}`,
          },
        ]),
    ...Object.entries(active.headers).flatMap(([name, { values }]) => {
      const field = `${at}.headers[${show(name)}]`;
      if (!isHeaderName(name))
        return [{ field, reason: "is not the name of a header" }];
      return values.flatMap((value, i) =>
        /^[\t -~\x80-\xff]*$/.test(value)
          ? []
          : [
              {
                field: `${field}.values[${i}]`,
                reason: `is not the value of a header: ${show(value)}`,
              },
            ],
      );
    }),
  ];
}
