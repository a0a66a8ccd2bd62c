import { ConnectError, createClient, type Client } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { AuditService } from "../gen/holdfast/admin/v1/audit_service_pb.js";
import { ConfigService } from "../gen/holdfast/admin/v1/config_service_pb.js";
import { NodeService } from "../gen/holdfast/admin/v1/node_service_pb.js";
import { WorkspaceService } from "../gen/holdfast/admin/v1/workspace_service_pb.js";
import { credentialFlags, credentialsOf } from "./access/credentials.ts";
import { flag, type Values } from "./flags.ts";
import { Failure, type Io } from "./io.ts";
import { FORMATS } from "./output.ts";
import { describeRpcError } from "./rpc-error.ts";
import { httpUrl, oneOf, text } from "./value-types.ts";

/** Where the control plane is, for commands that call one. */
export const adminFlags = {
  admin: flag(httpUrl, {
    summary: "Address of the control plane's Admin RPCs.",
    default: "http://127.0.0.1:8001",
  }),
  workspace: flag(text("NAME"), {
    summary:
      "The workspace: a configuration with a history and nodes of its own.",
    default: "default",
  }),
  ...credentialFlags,
};

/** The flags of every command that calls a control plane and prints its answer. */
export const clientFlags = {
  ...adminFlags,
  output: flag(oneOf(FORMATS), {
    summary:
      "How answers are printed: for people, or as the RPC's answer for programs.",
    short: "o",
    default: "table",
  }),
};

/** A control plane to call. */
export interface ControlPlaneClient {
  readonly config: Client<typeof ConfigService>;
  readonly nodes: Client<typeof NodeService>;
  readonly audit: Client<typeof AuditService>;
  readonly workspaces: Client<typeof WorkspaceService>;
  readonly admin: string;
  readonly workspace: string;
  /** For calls with one answer: they end when the process shall, or after a minute. */
  readonly call: CallLimits;
  /** For calls that may go through a large configuration. */
  readonly slowCall: CallLimits;
}

/** When a call is given up. */
interface CallLimits {
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
}

const CALL_TIMEOUT_MS = 60_000;
const SLOW_CALL_TIMEOUT_MS = 600_000;

/**
 * Calls the control plane that the flags name. What goes wrong there becomes a {@link Failure} that tells a person.
 */
export async function withClient<T>(
  io: Io,
  flags: Pick<Values<typeof adminFlags>, "admin" | "workspace"> &
    Partial<Values<typeof credentialFlags>>,
  use: (client: ControlPlaneClient) => Promise<T>,
): Promise<T> {
  const { admin, workspace } = flags;
  const { interceptors, nodeOptions } = await credentialsOf(io, admin, flags);
  // HTTP/1.1 passes every proxy, and an idle connection does not keep the process alive.
  const transport = createConnectTransport({
    httpVersion: "1.1",
    baseUrl: admin,
    interceptors,
    nodeOptions,
  });
  const signal = io.stop;
  try {
    return await use({
      config: createClient(ConfigService, transport),
      nodes: createClient(NodeService, transport),
      audit: createClient(AuditService, transport),
      workspaces: createClient(WorkspaceService, transport),
      admin,
      workspace,
      call: { signal, timeoutMs: CALL_TIMEOUT_MS },
      slowCall: { signal, timeoutMs: SLOW_CALL_TIMEOUT_MS },
    });
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    throw new Failure(describeRpcError(error, admin).join("\n"), {
      cause: error,
    });
  }
}
