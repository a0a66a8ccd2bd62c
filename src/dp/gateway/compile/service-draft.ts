import type { Service } from "../../../gen/holdfast/config/v1/service_pb.js";
import type { ServedService } from "../runtime.ts";

/** A service, read. */
export interface ServiceDraft {
  readonly kind: "service";
  readonly id: string;
  readonly enabled: boolean;
  /** Undefined when its protocol is one of streams. */
  readonly service:
    Omit<ServedService, "peers" | "hostHeader" | "agent"> | undefined;
  readonly tls: {
    readonly clientCertificate: string | undefined;
    readonly verify: boolean | undefined;
    readonly depth: number | undefined;
    readonly authorities: readonly string[];
  };
}

const TIMEOUT_MS = 60_000;

/** Reads a service that the rules have passed. */
export function serviceDraft(service: Service): ServiceDraft {
  const { id, name, protocol } = service;
  return {
    kind: "service",
    id,
    enabled: service.enabled !== false,
    service:
      protocol === "http" ||
      protocol === "https" ||
      protocol === "grpc" ||
      protocol === "grpcs"
        ? {
            id,
            name,
            protocol,
            host: service.host.replace(/^\[(.*)\]$/, "$1"),
            port: service.port ?? 80,
            path: service.path,
            retries: service.retries ?? 5,
            connectTimeoutMs: service.connectTimeout ?? TIMEOUT_MS,
            writeTimeoutMs: service.writeTimeout ?? TIMEOUT_MS,
            readTimeoutMs: service.readTimeout ?? TIMEOUT_MS,
          }
        : undefined,
    tls: {
      clientCertificate: service.clientCertificate?.id,
      verify: service.tlsVerify,
      depth: service.tlsVerifyDepth,
      authorities: service.caCertificates,
    },
  };
}
