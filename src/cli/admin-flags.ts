import {
  formatHostPort,
  isLoopback,
  type HostPort,
} from "../runtime/host-port.ts";
import type { ListenerTlsFiles } from "../runtime/tls/listener-material.ts";
import { optional, type Values } from "./flags.ts";
import { UsageError } from "./io.ts";
import { text } from "./value-types.ts";

/** Who may call a control plane's Admin RPCs, and what they are secured with. */
export const adminAccessFlags = {
  adminTokenFile: optional(text("FILE"), {
    summary:
      'The callers that are let in, with their roles and the SHA-256 of their tokens; "holdfast token create" adds one. Read again when it changes.',
  }),
  adminCert: optional(text("FILE"), {
    summary:
      "The certificate of the Admin RPCs (PEM), followed by those between it and its authority.",
  }),
  adminKey: optional(text("FILE"), { summary: "Its private key (PEM)." }),
  adminClientCa: optional(text("FILE"), {
    summary:
      "The authorities that client certificates must be by (PEM); every client needs one then. Without --admin-token-file, who has one may do everything.",
  }),
  adminCrl: optional(text("FILE"), {
    summary:
      "Revocation lists (PEM) of the authorities in --admin-client-ca, one of each: whose certificate is on them is refused, and cut off. Read again when it changes.",
  }),
  auditLog: optional(text("FILE"), {
    summary:
      "Append a line of JSON for every call that changes something, shows secrets or is refused. A file that was moved away is followed by a new one.",
  }),
};

/** How the admin listener is guarded, as a control plane takes it. */
interface AdminAccess {
  readonly adminTls?: ListenerTlsFiles;
  readonly adminTokenFile?: string;
  readonly auditLog?: string;
}

/** Ends with 2 when files are missing, or anybody in the network could do anything. */
export function adminAccessOf(
  flags: Values<typeof adminAccessFlags>,
  listen: HostPort,
): AdminAccess {
  const { adminTokenFile, adminCert, adminKey, auditLog } = flags;
  const { adminClientCa, adminCrl } = flags;
  if ((adminCert === undefined) !== (adminKey === undefined))
    throw new UsageError([
      adminCert === undefined
        ? "--admin-cert is needed together with --admin-key"
        : "--admin-key is needed together with --admin-cert",
    ]);
  if (adminClientCa !== undefined && adminCert === undefined)
    throw new UsageError([
      "--admin-client-ca needs --admin-cert and --admin-key: client certificates are shown over TLS",
    ]);
  if (adminCrl !== undefined && adminClientCa === undefined)
    throw new UsageError([
      "--admin-crl needs --admin-client-ca: without it no client certificates are asked for",
    ]);
  if (
    !isLoopback(listen.host) &&
    adminTokenFile === undefined &&
    adminClientCa === undefined
  )
    throw new UsageError([
      `--admin-listen: ${formatHostPort(listen)} can be reached from other machines, and whoever reaches it could read and change everything: give --admin-token-file ("holdfast token create" makes one) or --admin-client-ca, or a loopback address, such as 127.0.0.1:${listen.port}`,
    ]);
  return {
    ...(adminCert === undefined || adminKey === undefined
      ? {}
      : {
          adminTls: {
            certFile: adminCert,
            keyFile: adminKey,
            clientCaFile: adminClientCa,
            crlFile: adminCrl,
          },
        }),
    ...(adminTokenFile === undefined ? {} : { adminTokenFile }),
    ...(auditLog === undefined ? {} : { auditLog }),
  };
}
