import { Code, ConnectError } from "@connectrpc/connect";
import type { Registry } from "prom-client";
import {
  BadRequestSchema,
  file_google_rpc_error_details,
} from "../../gen/google/rpc/error_details_pb.js";
import { file_google_rpc_status } from "../../gen/google/rpc/status_pb.js";
import { Health as HealthService } from "../../gen/grpc/health/v1/health_pb.js";
import { AuditService } from "../../gen/holdfast/admin/v1/audit_service_pb.js";
import { ConfigService } from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { NodeService } from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { WorkspaceService } from "../../gen/holdfast/admin/v1/workspace_service_pb.js";
import { file_holdfast_plugin_v1_plugins } from "../../gen/holdfast/plugin/v1/plugins_pb.js";
import { Health } from "../../runtime/health.ts";
import type { HostPort } from "../../runtime/host-port.ts";
import { HttpListener, type HttpLimits } from "../../runtime/http-listener.ts";
import { addReflection } from "../../runtime/reflection.ts";
import type { ListenerTls } from "../../runtime/tls/listener-tls.ts";
import { rpcHandler } from "../../runtime/rpc-handler.ts";
import {
  statusHandler,
  statusOnly,
  type StatusSource,
} from "../../runtime/status.ts";
import type { AccessControl } from "../access/access-control.ts";
import { accessTo } from "../access/method-access.ts";
import type { AuditTrail } from "../audit/audit-trail.ts";
import { auditService } from "./audit-service.ts";
import { configService } from "./config-service.ts";
import type { AdminContext } from "./deps.ts";
import { measureCalls, translateErrors } from "./interceptors.ts";
import { nodeService } from "./node-service.ts";
import { ADMIN_SERVICES } from "./services.ts";
import { guardStatus } from "./status-guard.ts";
import { workspaceService } from "./workspace-service.ts";
import { WriteGate } from "./write-gate.ts";

export interface AdminOptions extends AdminContext {
  readonly listen: HostPort;
  readonly metrics: Registry;
  /** Who may call. */
  readonly access: AccessControl;
  /** What was called. */
  readonly trail: AuditTrail;
  /** What `/status` and the pages below it show. */
  readonly status: StatusSource;
  /** What connections are secured with. Absent: they are not. */
  readonly tls?: ListenerTls | undefined;
  /** How connections are treated. Default HTTP_LIMITS. */
  readonly limits?: Partial<HttpLimits>;
}

/** The Admin RPCs and status pages on their port. */
export interface Admin extends AsyncDisposable {
  readonly address: HostPort;
  /**
   * Says that it is stopping, to health checks too, and refuses changes from now on with UNAVAILABLE. Resolves when those
   * under way are done. Reading goes on.
   */
  drain(): Promise<void>;
}

/**
 * Serves the Admin RPCs as gRPC, gRPC-Web and Connect, with reflection and health, and the status pages, all on one port.
 * Disposing of it ends streams with UNAVAILABLE at once and lets other calls finish.
 *
 * @throws ListenError
 */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const { clock, logger, metrics, access } = options;
  const shutdown = new AbortController();
  const writes = new WriteGate();
  let draining = false;
  const health = new Health(ADMIN_SERVICES.map((service) => service.typeName));
  const status = statusHandler(
    {
      ...options.status,
      notReady: () =>
        draining ? "the control plane is stopping" : options.status.notReady(),
    },
    metrics,
  );
  const handler = rpcHandler({
    routes: (router) => {
      router.service(ConfigService, configService(options));
      router.service(NodeService, nodeService(options));
      router.service(AuditService, auditService(options.trail));
      router.service(WorkspaceService, workspaceService(options));
      health.addTo(router, clock);
      addReflection(
        router,
        [...ADMIN_SERVICES, HealthService],
        REFLECTED_FILES,
      );
      // One that nobody has thought about is told now, and not by its first caller.
      for (const { method } of router.handlers) accessTo(method);
    },
    fallback: statusOnly(guardStatus(status, access.mayLook)),
    admit: access.admit,
    shutdown: shutdown.signal,
    interceptors: [
      measureCalls(metrics, clock),
      access.interceptor,
      translateErrors(logger),
      writes.interceptor,
    ],
    details: [BadRequestSchema.file],
    clock,
    logger,
  });
  const listener = await HttpListener.listen(options.listen, handler, {
    clock,
    logger,
    http2: true,
    tls: options.tls,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const drain = (): Promise<void> => {
    draining = true;
    health.setServing(false);
    return writes.close();
  };
  return {
    address: listener.address,
    drain,
    async [Symbol.asyncDispose]() {
      // Not waited for: the listener gives what is under way its time.
      void drain();
      shutdown.abort(
        new ConnectError("the control plane is stopping", Code.Unavailable),
      );
      await listener.close();
    },
  };
}

/** No service's messages have these types: details of errors, and what a plugin's config is read as. */
const REFLECTED_FILES = [
  file_google_rpc_error_details,
  file_google_rpc_status,
  file_holdfast_plugin_v1_plugins,
];
