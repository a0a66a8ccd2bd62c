import type { DescService } from "@bufbuild/protobuf";
import { AuditService } from "../../gen/holdfast/admin/v1/audit_service_pb.js";
import { ConfigService } from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { NodeService } from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { WorkspaceService } from "../../gen/holdfast/admin/v1/workspace_service_pb.js";

/** The services that a control plane offers to people and programs; health and reflection are beside them. */
export const ADMIN_SERVICES: readonly DescService[] = [
  ConfigService,
  NodeService,
  AuditService,
  WorkspaceService,
];
