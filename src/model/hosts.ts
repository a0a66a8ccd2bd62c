import { formatIpv6, parseIpv4, parseIpv6 } from "./addresses.ts";

/** The hosts that an entry of `Route.hosts` stands for. */
export interface HostPattern {
  /** Whether `name` is the whole host, its end ("*.a.com") or its beginning ("a.*"). */
  readonly type: "exact" | "suffix" | "prefix";
  /** In lower case: "a.com", ".a.com", "a."; an IPv6 address in brackets, as in a Host header. */
  readonly name: string;
  /** Absent: any port. */
  readonly port?: number;
}

/** The result of reading a host pattern. */
export type ParsedHostPattern =
  | { readonly ok: true; readonly host: HostPattern }
  | { readonly ok: false; readonly reason: string };

/** Reads an entry of `Route.hosts`: "a.com", "*.a.com", "a.*", each with an optional ":port". */
export function parseHostPattern(text: string): ParsedHostPattern {
  const refuse = (reason: string): ParsedHostPattern => ({
    ok: false,
    reason: `${JSON.stringify(text)} ${reason}`,
  });
  const split = splitHostPort(text);
  if (split === undefined)
    return refuse("is not a host name with an optional port from 1 to 65535");
  const port = split.port === undefined ? {} : { port: split.port };
  const name = split.host.toLowerCase();
  const stars = name.split("*").length - 1;
  if (stars === 0) {
    const exact = exactHost(name);
    return exact === undefined
      ? refuse("is not a host name or an address")
      : { ok: true, host: { type: "exact", name: exact, ...port } };
  }
  if (stars > 1) return refuse('may have only one wildcard "*"');
  const rest = name.replace("*", "wildcard");
  if (!name.startsWith("*.") && !name.endsWith(".*"))
    return refuse(
      'has the wildcard "*" in a wrong place: it is the first or the last label ("*.example.com", "example.*")',
    );
  if (isAddress(name.replace("*", "0")) || !isHostname(rest))
    return refuse("is not a host name with a wildcard");
  return name.startsWith("*")
    ? { ok: true, host: { type: "suffix", name: name.slice(1), ...port } }
    : { ok: true, host: { type: "prefix", name: name.slice(0, -1), ...port } };
}

/** Whether a text is a host name: labels of letters, digits, "-" and "_", at most 253 characters; not an address. */
export function isHostname(text: string): boolean {
  // Nothing but numbers is meant as an IPv4 address, right or wrong. Kong's ingress controller makes names of upstreams
  // that end in a number.
  return HOSTNAME.test(text) && !/^\d+(\.\d+)*\.?$/.test(text);
}

/** Whether a text is an IPv4 address, or an IPv6 address without brackets. */
export function isAddress(text: string): boolean {
  return parseIpv4(text) !== undefined || parseIpv6(text) !== undefined;
}

/**
 * Takes "host", "host:port", "[v6]" and "[v6]:port" apart. Undefined when there is a port that is not a number from 1 to
 * 65535, or brackets that are not closed. The host is not checked; it keeps its brackets.
 */
export function splitHostPort(
  text: string,
): { readonly host: string; readonly port?: number } | undefined {
  const parts = /^(\[[^\]]*\]|[^:[\]]*)(?::([0-9]{1,5}))?$/.exec(text);
  if (parts?.[1] === undefined) return undefined;
  if (parts[2] === undefined) return { host: parts[1] };
  const port = Number(parts[2]);
  return port >= 1 && port <= 65535 ? { host: parts[1], port } : undefined;
}

/** A host name or an address as it stands in a Host header; undefined when it is neither. */
function exactHost(name: string): string | undefined {
  if (name.startsWith("[")) {
    const groups = parseIpv6(name.slice(1, -1));
    return groups === undefined ? undefined : `[${formatIpv6(groups)}]`;
  }
  return isHostname(name) || parseIpv4(name) !== undefined ? name : undefined;
}

const LABEL = "[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?";
const HOSTNAME = new RegExp(
  String.raw`^(?=.{1,254}$)${LABEL}(?:\.${LABEL})*\.?$`,
);
