import { optional } from "./flags.ts";
import type { HostPort } from "../runtime/host-port.ts";
import { hostPort } from "./value-types.ts";

/** Where a data plane takes traffic besides its port in clear text. */
export const listenFlags = {
  proxyTlsListen: optional(hostPort, {
    summary:
      "Where API traffic arrives over TLS, by HTTP/1.1 or HTTP/2 (Kong's port: 8443), with the certificates and SNIs of the configuration. Without it: nowhere.",
  }),
};

/** What {@link listenFlags} say, as a data plane takes it. */
export function listenOptionsOf(given: {
  readonly proxyTlsListen: HostPort | undefined;
}) {
  const { proxyTlsListen } = given;
  return proxyTlsListen === undefined ? {} : { proxyTlsListen };
}
