import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ConfigService } from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { NodeService } from "../../src/gen/holdfast/admin/v1/node_service_pb.js";

/** A server of the Admin RPCs that answers as a test says, for answers that a real control plane gives only in trouble. */
export interface ScriptedControlPlane extends AsyncDisposable {
  /** For `--admin`. */
  readonly admin: string;
  /** Cuts all connections, as a control plane that is killed does. */
  cut(): void;
}

/** Starts one; methods that are not given answer UNIMPLEMENTED. */
export async function scriptedControlPlane(
  script: {
    readonly config?: Partial<ServiceImpl<typeof ConfigService>>;
    readonly nodes?: Partial<ServiceImpl<typeof NodeService>>;
  },
  port = 0,
): Promise<ScriptedControlPlane> {
  const server = createServer(
    connectNodeAdapter({
      routes(router) {
        router.service(ConfigService, script.config ?? {});
        router.service(NodeService, script.nodes ?? {});
      },
    }),
  );
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const { port: bound } = server.address() as AddressInfo;
  return {
    admin: `http://127.0.0.1:${bound}`,
    cut: () => server.closeAllConnections(),
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
