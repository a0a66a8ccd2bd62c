import type { TlsSettings } from "../proxy/upstream-agent.ts";
import type { Balancer } from "../upstreams/balancer.ts";
import type { Linker } from "./linker.ts";

const NO_IDENTITIES: TlsSettings["identities"] = [];

/** What a service gets from the upstream that its host names. */
export interface LinkedUpstream {
  readonly balancer: Balancer;
  readonly clientCertificate: string | undefined;
}

/** Targets are found by their upstream. */
export const targetLinker: Linker<"target"> = {
  names: ({ upstream }) => [{ sort: "targets of", name: upstream }],
  link({ upstream, host, port, weight }, at) {
    if (!at.find.exists("upstream", upstream)) {
      at.dangling("upstream", "upstream", upstream);
      return undefined;
    }
    return { host, port, weight };
  },
};

/** A balancer whose upstream and targets have not changed goes on where it is. */
export const upstreamLinker: Linker<"upstream"> = {
  names: ({ settings: { name } }) => [
    {
      sort: "upstream name",
      name,
      unique: { field: "name", reason: `another upstream is named "${name}"` },
    },
  ],
  link({ id, settings, clientCertificate }, at) {
    const { before } = at;
    const balancer = at.context.upstreams.balancer(
      settings,
      at.find.named("target", "targets of", id),
      (clientCertificate === undefined
        ? undefined
        : at.find.value("certificate", clientCertificate)) ?? NO_IDENTITIES,
      before?.balancer,
    );
    return before?.balancer === balancer &&
      before.clientCertificate === clientCertificate
      ? before
      : { balancer, clientCertificate };
  },
};
