import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Client } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import {
  ConfigService,
  type OperationSchema,
} from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { NodeService } from "../../src/gen/holdfast/admin/v1/node_service_pb.js";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";

/** Clients of a control plane's Admin RPCs. They keep their connections alive. */
export interface AdminClient {
  readonly config: Client<typeof ConfigService>;
  readonly nodes: Client<typeof NodeService>;
}

/** Clients of the control plane at a URL. */
export function adminClient(url: string): AdminClient {
  const transport = createConnectTransport({
    httpVersion: "1.1",
    baseUrl: url,
  });
  return {
    config: createClient(ConfigService, transport),
    nodes: createClient(NodeService, transport),
  };
}

/** The operation of a transaction that puts a resource. */
export function putting(
  resource: Resource,
): MessageInitShape<typeof OperationSchema> {
  return { operation: { case: "put", value: resource } };
}

/** Everything that is configured. */
export async function exported({ config }: AdminClient): Promise<Resource[]> {
  const all: Resource[] = [];
  for await (const { resources } of config.export({
    includeSecrets: true,
  }))
    all.push(...resources);
  return all;
}
