import { isIP } from "node:net";
import type { ForwardHead, ForwardTarget } from "./forward.ts";

/** The name that an upstream's TLS is asked for: that of the Host header, as with node's client. */
export function serverNameOf(
  { headers }: ForwardHead,
  target: ForwardTarget,
): string {
  const [hostHeader = ""] = headers.get("Host");
  const name = hostHeader.startsWith("[")
    ? hostHeader.slice(1, hostHeader.indexOf("]"))
    : (hostHeader.split(":", 1)[0] ?? "");
  const host = name === "" ? target.host : name;
  return isIP(host) > 0 ? "" : host;
}
