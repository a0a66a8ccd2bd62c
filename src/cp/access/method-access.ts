import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { AuditService } from "../../gen/holdfast/admin/v1/audit_service_pb.js";
import { ConfigService } from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { NodeService } from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { WorkspaceService } from "../../gen/holdfast/admin/v1/workspace_service_pb.js";
import type { Role } from "./roles.ts";

/** What a caller must be to make a call. */
export interface MethodAccess {
  /**
   * The role needed in the request's workspace; "anybody": even those of whom nothing is known; "known": any caller with
   * any role.
   */
  readonly needs: Role | "anybody" | "known";
  /**
   * Where the workspace stands: in each request message, or in the message that comes in parts, which its handler hands
   * over when it is whole.
   */
  readonly workspace: "request" | "parts" | "none";
  /** It changes nothing when the request says `dry_run`, and then needs only the role read. */
  readonly dryRun?: boolean;
  /** The role needed besides, in the workspace that the request's `to` names. Default: none. */
  readonly to?: Role;
}

const read = { needs: "read", workspace: "request" } as const;
const write = { needs: "write", workspace: "request" } as const;
const admin = { needs: "admin", workspace: "request" } as const;
const anybody = { needs: "anybody", workspace: "none" } as const;
const known = { needs: "known", workspace: "none" } as const;

/** A row for each method, or it does not compile. */
type Rows<S extends DescService> = Readonly<
  Record<keyof S["method"], MethodAccess>
>;

/** A request of any of these that asks for secrets (`include_secrets`) needs the role write, see needs.ts. */
const CONFIG: Rows<typeof ConfigService> = {
  put: { ...write, dryRun: true },
  get: read,
  list: read,
  delete: { ...write, dryRun: true },
  transact: { ...write, dryRun: true },
  transactStream: { needs: "write", workspace: "parts", dryRun: true },
  apply: { ...write, dryRun: true },
  applyStream: { needs: "write", workspace: "parts", dryRun: true },
  export: read,
  listRevisions: read,
  getRevision: read,
  diff: read,
  rollback: { ...write, dryRun: true },
  // Overrules the guards against wiping a fleet, as Allow and Forget do.
  adopt: admin,
  watch: read,
  waitForRevision: read,
};

const NODES: Rows<typeof NodeService> = {
  listNodes: read,
  getNode: read,
  watchNodes: read,
  retry: write,
  pin: write,
  unpin: write,
  pause: write,
  resume: write,
  allow: admin,
  forget: admin,
  listUpstreamHealth: read,
};

const WORKSPACES: Rows<typeof WorkspaceService> = {
  // Who has a role in a workspace has it in one of that name that is yet to be made, too.
  createWorkspace: admin,
  // Its handler leaves out what is not theirs.
  listWorkspaces: known,
  getWorkspace: read,
  deleteWorkspace: admin,
  // The copy has the secrets, which read does not show, and makes another workspace.
  copyWorkspace: { ...write, to: "admin" },
};

const AUDIT: Rows<typeof AuditService> = { listAuditRecords: admin };

/** Says no more than whether it serves: for load balancers and probes, which have no tokens. */
const HEALTH: Rows<typeof Health> = {
  check: anybody,
  list: anybody,
  watch: anybody,
};

/** What it tells is no secret; but a stream that stays open is not for those whom nobody knows. */
const REFLECTION: Rows<typeof ServerReflection> = {
  serverReflectionInfo: known,
};

const TABLE: ReadonlyMap<
  string,
  Readonly<Record<string, MethodAccess>>
> = new Map<string, Readonly<Record<string, MethodAccess>>>([
  [ConfigService.typeName, CONFIG],
  [NodeService.typeName, NODES],
  [AuditService.typeName, AUDIT],
  [WorkspaceService.typeName, WORKSPACES],
  [Health.typeName, HEALTH],
  [ServerReflection.typeName, REFLECTION],
  [ServerReflectionAlpha.typeName, REFLECTION],
]);

/** What a method needs. @throws TypeError for one that has no row: nobody has thought about it. */
export function accessTo(method: DescMethod): MethodAccess {
  const row = TABLE.get(method.parent.typeName)?.[method.localName];
  if (row === undefined)
    throw new TypeError(
      `${method.parent.typeName}/${method.name} has no row in the table of roles`,
    );
  return row;
}

/** Whether calls of a method change something, or are meant to. */
export function isWrite({ idempotency }: DescMethod): boolean {
  return idempotency !== Idempotency.NO_SIDE_EFFECTS;
}
