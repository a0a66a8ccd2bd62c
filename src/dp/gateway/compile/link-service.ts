import type { TlsSettings } from "../proxy/upstream-agent.ts";
import { Balancer } from "../upstreams/balancer.ts";
import { isSecure } from "../runtime.ts";
import type { Linker, LinkSite } from "./linker.ts";
import type { ServiceDraft } from "./service-draft.ts";

/** Services meet the upstream that their host names, and what their TLS refers to. */
export const serviceLinker: Linker<"service"> = {
  // Routes only ask this of their service: what else changes in it does not change them.
  names: ({ id, service, enabled }) =>
    service !== undefined && enabled
      ? [{ sort: "served service", name: id }]
      : [],
  link(draft, at) {
    const { service, enabled } = draft;
    const [upstream] =
      service === undefined
        ? []
        : at.find.named("upstream", "upstream name", service.host);
    const tls = tlsOf(draft, upstream?.clientCertificate, at);
    if (service === undefined || !enabled) return undefined;
    const { agents, upstreams } = at.context;
    const { before } = at;
    const isSameHost =
      before?.host === service.host &&
      before.port === service.port &&
      !(before.peers instanceof Balancer);
    return {
      ...service,
      peers:
        upstream?.balancer ??
        (isSameHost
          ? before.peers
          : upstreams.host(service.host, service.port)),
      hostHeader: upstream?.balancer.settings.hostHeader,
      agent: isSecure(service.protocol) ? agents.secure(tls) : agents.plain,
    };
  },
};

/** How a service's upstream is spoken to over TLS. A client certificate of its own goes before that of its upstream. */
function tlsOf(
  { tls }: ServiceDraft,
  upstreamCertificate: string | undefined,
  at: LinkSite,
): TlsSettings {
  const authorities: string[] = [];
  for (const [i, id] of tls.authorities.entries()) {
    const cert = at.find.value("ca_certificate", id);
    if (cert === undefined)
      at.dangling(`ca_certificates[${i}]`, "ca_certificate", id);
    else authorities.push(cert);
  }
  const certificate = tls.clientCertificate ?? upstreamCertificate;
  const identities =
    certificate === undefined ? [] : at.find.value("certificate", certificate);
  if (identities === undefined)
    at.dangling("client_certificate", "certificate", certificate ?? "");
  return {
    verify: tls.verify ?? at.context.tlsVerify,
    ...(tls.depth === undefined ? {} : { depth: tls.depth }),
    authorities,
    identities: identities ?? [],
  };
}
