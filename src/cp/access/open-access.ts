import path from "node:path";
import { Counter, type Registry } from "prom-client";
import { ConfigError } from "../../model/violation.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { CloseStack } from "../../runtime/close-stack.ts";
import {
  formatHostPort,
  isLoopback,
  type HostPort,
} from "../../runtime/host-port.ts";
import { LineFile } from "../../runtime/line-file.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { ListenerTlsFiles } from "../../runtime/tls/listener-material.ts";
import { ListenerTls } from "../../runtime/tls/listener-tls.ts";
import { AuditTrail } from "../audit/audit-trail.ts";
import { AUDIT_DIRECTORY } from "../control-plane-files.ts";
import { AccessControl } from "./access-control.ts";

/** Who may call the Admin RPCs, what they are secured with, and where it is written down. */
export interface AdminAccessOptions {
  /** What the admin listener is secured with. Absent: clear text. */
  readonly adminTls?: ListenerTlsFiles;
  /** Who may call. Absent: whoever can connect, or has a client certificate. */
  readonly adminTokenFile?: string;
  /** A file that gets a line for each record of the audit log. */
  readonly auditLog?: string;
  /** Calls back whenever that file is to be opened anew. */
  readonly onReopen?: (reopen: () => void) => void;
}

/** What guards the admin listener. */
export interface AdminGuard {
  readonly access: AccessControl;
  readonly trail: AuditTrail;
  readonly tls: ListenerTls | undefined;
}

interface Deps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Registry;
}

/**
 * Opens what guards the admin listener; the stack closes it.
 *
 * @throws ConfigError when a file cannot be used, TypeError when anybody in the network could do anything.
 */
export async function openAdminAccess(
  options: AdminAccessOptions & {
    readonly adminListen: HostPort;
    readonly dataDir: string;
  },
  stack: CloseStack,
  deps: Deps,
): Promise<AdminGuard> {
  checkListen(options, deps.logger);
  const { adminTls, adminTokenFile, auditLog, dataDir } = options;
  const tls =
    adminTls === undefined
      ? undefined
      : stack.use(
          await ListenerTls.open({ ...adminTls, flags: "--admin", ...deps }),
        );
  const lines =
    auditLog === undefined
      ? undefined
      : stack.use(await openAuditLog(auditLog, deps));
  if (lines !== undefined)
    options.onReopen?.(() => {
      lines.reopen();
    });
  const trail = stack.use(
    await AuditTrail.open({
      directory: path.join(dataDir, AUDIT_DIRECTORY),
      ...deps,
      ...(lines === undefined
        ? {}
        : {
            onRecord: (line: string) => {
              lines.write(line);
            },
          }),
    }),
  );
  const access = stack.use(
    await AccessControl.open({
      tokenFile: adminTokenFile,
      clientCertificates: tls?.wantsClientCertificates ?? false,
      trail,
      ...deps,
    }),
  );
  return { access, trail, tls };
}

function checkListen(
  {
    adminListen,
    adminTls,
    adminTokenFile,
  }: AdminAccessOptions & { readonly adminListen: HostPort },
  logger: Logger,
): void {
  if (isLoopback(adminListen.host)) return;
  if (adminTokenFile === undefined && adminTls?.clientCaFile === undefined)
    throw new TypeError(
      "an admin listener that others can reach needs tokens or client certificates",
    );
  if (adminTls === undefined)
    logger.warn("admin.clear_text", {
      listen: formatHostPort(adminListen),
      consequence:
        "whoever can read along in the network has the tokens and the configuration with its secrets: give --admin-cert and --admin-key, unless something in front does TLS",
    });
}

async function openAuditLog(
  file: string,
  { clock, logger, metrics }: Deps,
): Promise<LineFile> {
  const dropped = new Counter({
    name: "holdfast_cp_audit_lines_dropped_total",
    help: "Lines that --audit-log lost because the file could not be written for too long.",
    registers: [metrics],
  });
  try {
    return await LineFile.open(
      { path: file },
      {
        clock,
        logger,
        name: "audit_log",
        onDrop: () => {
          dropped.inc();
        },
      },
    );
  } catch (cause) {
    throw new ConfigError(
      "failed_precondition",
      `--audit-log ${file}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}
