import {
  Code,
  ConnectError,
  createClient,
  type Client,
} from "@connectrpc/connect";
import { Registry } from "prom-client";
import { AccessControl } from "../../src/cp/access/access-control.ts";
import { AuditTrail } from "../../src/cp/audit/audit-trail.ts";
import { ConfigService } from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { systemClock } from "../../src/runtime/clock.ts";
import type { CloseStack } from "../../src/runtime/close-stack.ts";
import { bearing, TokenFile } from "./admin-callers.ts";
import {
  startAdminServer,
  transportTo,
  type AdminServer,
} from "./admin-server.ts";
import { RecordingLogger } from "./recording-logger.ts";
import { TempDir } from "./temp-dir.ts";

/** Admin RPCs that let in callers with tokens only: reader, writer, chief (admin everywhere) and guest (elsewhere). */
export interface GuardedServer {
  readonly server: AdminServer;
  readonly dir: TempDir;
  readonly tokens: TokenFile;
  readonly logger: RecordingLogger;
  /** A caller's header. */
  readonly bearer: (caller: string) => { readonly authorization: string };
  readonly configOf: (
    caller: string,
    protocol?: "grpc" | "connect-1.1",
  ) => Client<typeof ConfigService>;
}

/** Starts them; the stack ends them and removes the directory. The audit log is in its `audit`. */
export async function startGuardedServer(
  stack: CloseStack,
): Promise<GuardedServer> {
  const dir = stack.use(await TempDir.make());
  const logger = new RecordingLogger();
  const tokens = await TokenFile.make(dir.join("tokens.yml"), {
    reader: { roles: { default: "read" } },
    writer: { roles: { default: "write" } },
    chief: { roles: { "*": "admin" } },
    guest: { roles: { other: "admin" } },
  });
  const options = { clock: systemClock, logger, metrics: new Registry() };
  const trail = stack.use(
    await AuditTrail.open({ ...options, directory: dir.join("audit") }),
  );
  const access = stack.use(
    await AccessControl.open({
      ...options,
      trail,
      tokenFile: tokens.file,
      clientCertificates: false,
    }),
  );
  const server = await startAdminServer(stack, { logger, trail, access });
  return {
    server,
    dir,
    tokens,
    logger,
    bearer: (caller) => ({
      authorization: `Bearer ${tokens.tokenOf(caller)}`,
    }),
    configOf: (caller, protocol = "grpc") =>
      createClient(
        ConfigService,
        transportTo(server.url, protocol, bearing(tokens.tokenOf(caller))),
      ),
  };
}

/** What comes of a call: "Ok", or the name of the code. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "Ok";
  } catch (error) {
    return Code[ConnectError.from(error).code];
  }
}
