import type { Service } from "../../gen/holdfast/config/v1/service_pb.js";
import { isAddress, isHostname, splitHostPort } from "../hosts.ts";
import { show, type Problem } from "../problem.ts";
import { parseServiceUrl } from "../service-url.ts";

/** What is wrong with a service beyond the rules of its single fields. */
export function serviceProblems(service: Service): Problem[] {
  return [
    ...urlProblems(service.url),
    ...hostProblems(service.host),
    ...pathProblems(service.path),
  ];
}

/** `fillDefaults` takes a URL apart and clears it: one that is still there could not be read. */
function urlProblems(url: string): Problem[] {
  if (url === "") return [];
  const parsed = parseServiceUrl(url);
  return parsed.ok ? [] : [{ field: "url", reason: parsed.reason }];
}

function hostProblems(host: string): Problem[] {
  if (host === "" || isHostname(host) || isAddress(host)) return [];
  return [{ field: "host", reason: hostReason(host) }];
}

function hostReason(host: string): string {
  if (/^\[.*\]$/.test(host) && isAddress(host.slice(1, -1)))
    return `must be an IPv6 address without brackets, got ${show(host)}`;
  const split = splitHostPort(host);
  if (split?.port !== undefined)
    return `must not have a port, got ${show(host)}: put ${split.port} into the field port`;
  if (host.includes("/"))
    return `must be a host name or an address, got ${show(host)}: a whole URL goes into the field url`;
  return `must be a host name (letters, digits, "-", "_", "."), an IP address or the name of an upstream, got ${show(host)}`;
}

function pathProblems(path: string): Problem[] {
  if (path === "") return [];
  const reasons: string[] = [];
  if (!path.startsWith("/"))
    reasons.push(`must start with "/", got ${show(path)}`);
  if (path.includes("//"))
    reasons.push(`must not have an empty segment ("//"), got ${show(path)}`);
  const bad = /%(?![0-9a-fA-F]{2}).{0,2}/s.exec(path);
  if (bad !== null)
    reasons.push(`has ${show(bad[0])}, which is not a percent-escape`);
  const character = /[^A-Za-z0-9._~!$&'()*+,;=:@%/-]/u.exec(path);
  if (character !== null)
    reasons.push(
      `has the character ${show(character[0])}, which a URI's path cannot have: escape it as ${show(encodeURIComponent(character[0]))}`,
    );
  return reasons.map((reason) => ({ field: "path", reason }));
}
