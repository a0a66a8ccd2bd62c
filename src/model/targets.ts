import { formatIpv6, parseIpv4, parseIpv6 } from "./addresses.ts";
import { isHostname, splitHostPort } from "./hosts.ts";

/** The port of a target that names none. */
const DEFAULT_TARGET_PORT = 8000;

/** Reads `Target.target`: "host", "host:port", an address, "[v6]" or "[v6]:port". */
export function parseTarget(text: string):
  | {
      readonly ok: true;
      /** Without brackets. */
      readonly host: string;
      readonly port: number;
      /** "host:port", the one form that is stored and compared. */
      readonly normalised: string;
    }
  | { readonly ok: false; readonly reason: string } {
  const bare = parseIpv6(text);
  const split =
    bare === undefined ? splitHostPort(text) : { host: `[${text}]` };
  const port = split?.port ?? DEFAULT_TARGET_PORT;
  const host = split?.host.toLowerCase() ?? "";
  if (host.startsWith("[")) {
    const groups = parseIpv6(host.slice(1, -1));
    if (groups !== undefined) {
      const address = formatIpv6(groups);
      return {
        ok: true,
        host: address,
        port,
        normalised: `[${address}]:${port}`,
      };
    }
  } else if (isHostname(host) || parseIpv4(host) !== undefined)
    return { ok: true, host, port, normalised: `${host}:${port}` };
  return {
    ok: false,
    reason: `${JSON.stringify(text)} is not a host name or address with an optional port from 1 to 65535 ("a.example:8080", "10.0.0.1", "[::1]:8080")`,
  };
}
