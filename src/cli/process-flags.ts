import { LOG_LEVELS } from "../runtime/logger.ts";
import {
  formatHostPort,
  isLoopback,
  type HostPort,
} from "../runtime/host-port.ts";
import { wrongPattern } from "../runtime/tls/certificate-names.ts";
import type { ClusterTlsFiles } from "../runtime/tls/material.ts";
import { flag, list, optional, toggle, type Values } from "./flags.ts";
import { UsageError } from "./io.ts";
import { oneOf, text } from "./value-types.ts";

/** How much a control plane or data plane logs. */
export const logLevel = flag(oneOf(LOG_LEVELS), {
  summary: "The least important log lines that are written.",
  default: "info",
});

/** How control plane and data planes talk. */
export const clusterFlags = {
  clusterCert: optional(text("FILE"), {
    summary:
      "This side's certificate for the link between control plane and data planes (PEM).",
  }),
  clusterKey: optional(text("FILE"), { summary: "Its private key (PEM)." }),
  clusterCa: optional(text("FILE"), {
    summary:
      "The authorities that peers' certificates must be by (PEM). Without it everybody has the same certificate, and no other is accepted.",
  }),
  clusterCrl: optional(text("FILE"), {
    summary: "Revocation lists of those authorities (PEM).",
  }),
  clusterAllowedNames: list(text("NAME"), {
    summary:
      "Names that peers' certificates may have, as common name, DNS name or URI, separated by commas; *.example.com is any name right below. Without it: any.",
  }),
  insecureSync: toggle({
    summary:
      "Connect control plane and data planes without TLS, on loopback addresses only.",
  }),
};

/** An address that the link is on, and the flag it comes from. */
export interface LinkAddress {
  readonly flag: string;
  readonly address: HostPort;
}

/** How the link is secured, as the options of both roles have it. */
export type LinkSecurity =
  | { readonly tls: ClusterTlsFiles; readonly insecureSync: false }
  | { readonly insecureSync: true };

/** Ends with 2 unless there are certificates, or it was said that the link may go without on this machine. */
export function linkSecurity(
  role: "cp" | "dp",
  flags: Values<typeof clusterFlags>,
  addresses: readonly LinkAddress[],
): LinkSecurity {
  const { clusterCert, clusterKey, clusterCa, clusterCrl } = flags;
  const allowedNames = flags.clusterAllowedNames
    .flatMap((names) => names.split(","))
    .filter((name) => name !== "");
  const given = [
    ...(clusterCert === undefined ? [] : ["--cluster-cert"]),
    ...(clusterKey === undefined ? [] : ["--cluster-key"]),
    ...(clusterCa === undefined ? [] : ["--cluster-ca"]),
    ...(clusterCrl === undefined ? [] : ["--cluster-crl"]),
    ...(allowedNames.length === 0 ? [] : ["--cluster-allowed-names"]),
  ];
  const wrong = allowedNames.flatMap((name) => wrongPattern(name) ?? []);
  if (wrong.length > 0)
    throw new UsageError(
      wrong.map((reason) => `--cluster-allowed-names: ${reason}`),
    );
  if (flags.insecureSync) {
    if (given.length > 0)
      throw new UsageError([
        `--insecure-sync and ${given.join(", ")} contradict each other: with certificates the link is secure`,
      ]);
    const open = addresses.filter(({ address }) => !isLoopback(address.host));
    if (open.length > 0)
      throw new UsageError(
        open.map(
          ({ flag: name, address }) =>
            `${name}: ${formatHostPort(address)} can be reached from other machines, and --insecure-sync sends the configuration with its secrets in clear to whoever connects: only a loopback address is allowed, such as 127.0.0.1:${address.port}, or certificates instead of --insecure-sync (holdfast cert --help)`,
        ),
      );
    return { insecureSync: true };
  }
  if (given.length === 0)
    throw new UsageError([
      `--cluster-cert and --cluster-key are needed, the certificate that this side shows ("holdfast cert" makes some), or, on one machine, --insecure-sync: the configuration with its secrets goes in clear then, and anybody on this machine can connect as a data plane: holdfast ${role} --insecure-sync …`,
    ]);
  if (clusterCert === undefined || clusterKey === undefined)
    throw new UsageError([
      `${clusterCert === undefined ? "--cluster-cert" : "--cluster-key"} is needed together with ${given.join(", ")}`,
    ]);
  const useless = given.filter((name) =>
    ["--cluster-crl", "--cluster-allowed-names"].includes(name),
  );
  if (clusterCa === undefined && useless.length > 0)
    throw new UsageError([
      `${useless.join(", ")} needs --cluster-ca: without authorities everybody has the same certificate`,
    ]);
  return {
    insecureSync: false,
    tls: {
      certFile: clusterCert,
      keyFile: clusterKey,
      caFile: clusterCa,
      crlFile: clusterCrl,
      allowedNames,
    },
  };
}
