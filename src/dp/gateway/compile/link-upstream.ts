import { Balancer, signatureOf } from "../balancer.ts";
import type { Linker } from "./linker.ts";

/** What a service gets from the upstream that its host names. */
export interface LinkedUpstream {
  readonly balancer: Balancer;
  readonly hostHeader: string | undefined;
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

/** A balancer whose targets have not changed goes on where it is. */
export const upstreamLinker: Linker<"upstream"> = {
  names: ({ name }) => [
    {
      sort: "upstream name",
      name,
      unique: { field: "name", reason: `another upstream is named "${name}"` },
    },
  ],
  link({ id, name, algorithm, hostHeader, clientCertificate }, at) {
    if (algorithm !== "round-robin")
      at.note(
        "warning",
        `this data plane does not have the algorithm "${algorithm}" yet: the targets of upstream "${name}" are chosen by weighted round-robin`,
      );
    const targets = at.find.named("target", "targets of", id);
    const before = at.before;
    const balancer =
      before?.balancer.signature === signatureOf(targets)
        ? before.balancer
        : new Balancer(targets, at.context.random);
    if (
      before?.balancer === balancer &&
      before.hostHeader === hostHeader &&
      before.clientCertificate === clientCertificate
    )
      return before;
    return { balancer, hostHeader, clientCertificate };
  },
};
