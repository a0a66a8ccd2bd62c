import { show } from "./problem.ts";

/** What the shorthand `Service.url` stands for. */
export type ParsedServiceUrl =
  | {
      readonly ok: true;
      readonly protocol: string;
      /** IPv6 without brackets. */
      readonly host: string;
      readonly port: number;
      /** Empty when the URL has none. */
      readonly path: string;
    }
  | { readonly ok: false; readonly reason: string };

/** Takes "https://example.com:8443/base" apart. What the parts may be is left to the rules of their fields. */
export function parseServiceUrl(url: string): ParsedServiceUrl {
  const refuse = (reason: string): ParsedServiceUrl => ({
    ok: false,
    reason: `${show(url)} ${reason}`,
  });
  const parts =
    /^([a-zA-Z_]+):\/\/(\[[^\]]*\]|[^/?#:[\]]*)(?::(\d+))?(\/[^?#]*)?([?#].*)?$/s.exec(
      url,
    );
  if (parts === null)
    return refuse('is not of the form "protocol://host:port/path"');
  const [, scheme = "", host = "", port, path = "", rest] = parts;
  if (rest !== undefined)
    return refuse("has a query or a fragment, which a service cannot have");
  if (host.includes("@"))
    return refuse("has a user name, which a service cannot have");
  const protocol = scheme.toLowerCase();
  return {
    ok: true,
    protocol,
    host: host.replaceAll(/[[\]]/g, ""),
    port: port === undefined ? defaultPort(protocol) : Number(port),
    path,
  };
}

function defaultPort(protocol: string): number {
  return protocol === "https" || protocol === "wss" ? 443 : 80;
}
