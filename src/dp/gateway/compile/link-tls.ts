import type { TlsSettings } from "../proxy/agents.ts";
import type { ServiceDraft } from "./service-draft.ts";

/** What the TLS of a service refers to, by id, and what holds where the service does not say. */
export interface TlsContext {
  readonly certificates: ReadonlyMap<string, TlsSettings["identities"]>;
  /** In PEM. */
  readonly authorities: ReadonlyMap<string, string>;
  readonly verify: boolean;
}

/** How a service's upstream is spoken to over TLS, and what it names that is not there. */
export interface LinkedTls {
  readonly settings: TlsSettings;
  readonly missing: readonly {
    readonly field: string;
    readonly kind: string;
    readonly id: string;
  }[];
}

/** Follows the references of a service's TLS. A client certificate of its own goes before that of its upstream. */
export function linkTls(
  { tls }: ServiceDraft,
  upstreamCertificate: string | undefined,
  context: TlsContext,
): LinkedTls {
  const missing: LinkedTls["missing"][number][] = [];
  const authorities: string[] = [];
  for (const [i, id] of tls.authorities.entries()) {
    const cert = context.authorities.get(id);
    if (cert !== undefined) authorities.push(cert);
    else
      missing.push({
        field: `ca_certificates[${i}]`,
        kind: "ca_certificate",
        id,
      });
  }
  const certificate = tls.clientCertificate ?? upstreamCertificate;
  const identities =
    certificate === undefined ? [] : context.certificates.get(certificate);
  if (identities === undefined)
    missing.push({
      field: "client_certificate",
      kind: "certificate",
      id: certificate ?? "",
    });
  return {
    settings: {
      verify: tls.verify ?? context.verify,
      ...(tls.depth === undefined ? {} : { depth: tls.depth }),
      authorities,
      identities: identities ?? [],
    },
    missing,
  };
}
