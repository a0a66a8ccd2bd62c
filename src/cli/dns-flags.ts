import { formatHostPort, type HostPort } from "../runtime/host-port.ts";
import { list } from "./flags.ts";
import { hostPort } from "./value-types.ts";

/** Whom a data plane asks for the addresses of upstreams. */
export const dnsFlags = {
  dnsServer: list(hostPort, {
    summary:
      "A name server for the names of upstreams. Several are asked in this order. Without it: those of /etc/resolv.conf.",
  }),
};

/** What {@link dnsFlags} say, as a gateway takes it. */
export function dnsSettings(given: {
  readonly dnsServer: readonly HostPort[];
}): { readonly dnsServers?: readonly string[] } {
  const { dnsServer } = given;
  return dnsServer.length === 0
    ? {}
    : { dnsServers: dnsServer.map(formatHostPort) };
}
