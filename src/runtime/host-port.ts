import { isIPv4 } from "node:net";

/** Where to listen or what to connect to. */
export interface HostPort {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  /** 0 to 65535; 0 lets the system choose, where something listens. */
  readonly port: number;
}

/** What came of reading a `HOST:PORT`. */
export type ParsedHostPort =
  | { readonly ok: true; readonly hostPort: HostPort }
  | { readonly ok: false; readonly reason: string };

const MAX_PORT = 65_535;
const FORM =
  /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<host>[^\s:[\]/@]+)):(?<port>\d{1,5})$/;

/** Reads `127.0.0.1:8001`, `localhost:8001` or `[::1]:8001`. */
export function parseHostPort(text: string): ParsedHostPort {
  const groups = FORM.exec(text)?.groups;
  const host = groups?.["v6"] ?? groups?.["host"];
  const port = Number(groups?.["port"]);
  if (host === undefined)
    return {
      ok: false,
      reason: `"${text}" is not HOST:PORT, such as 127.0.0.1:8001 or [::1]:8001`,
    };
  if (port > MAX_PORT)
    return {
      ok: false,
      reason: `port ${port} in "${text}" is over ${MAX_PORT}`,
    };
  return { ok: true, hostPort: { host, port } };
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only this machine can connect to it. */
export function isLoopback(host: string): boolean {
  return (
    host === "localhost" ||
    host === "::1" ||
    (isIPv4(host) && host.startsWith("127."))
  );
}

/** Nothing can listen there. The cause says why. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly listen: HostPort;

  constructor(listen: HostPort, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`cannot listen on ${formatHostPort(listen)}: ${why}`, { cause });
    this.listen = listen;
  }
}
