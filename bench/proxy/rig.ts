import type { CloseStack } from "../../src/runtime/close-stack.ts";
import type { ProxyGateway } from "../roles/proxy-gateway.ts";
import type { LoadPlan, ProxyLoad } from "../roles/proxy-load.ts";
import type { ProxyUpstream } from "../roles/proxy-upstream.ts";
import { Child } from "../support/child.ts";
import { CONNECTIONS } from "./contenders.ts";
import { proxyRequests } from "./routes.ts";

/** A gateway without plugins between clients and an upstream, each a process of its own. */
export interface Rig {
  readonly load: Child<ProxyLoad>;
  readonly gateway: Child<ProxyGateway>;
  /** Requests to random routes for so long, as fast as they are answered. */
  readonly plan: (durationMs: number) => LoadPlan;
}

/** Starts one with so many routes, whose answers have so many bytes. It ends with the stack. */
export async function startRig(
  stack: CloseStack,
  routes: number,
  bodyBytes: number,
): Promise<Rig> {
  const upstream = stack.use(
    await Child.start<ProxyUpstream>("proxy-upstream"),
  );
  const load = stack.use(await Child.start<ProxyLoad>("proxy-load"));
  const gateway = stack.use(await Child.start<ProxyGateway>("proxy-gateway"));
  const port = await gateway.call("start", {
    routes,
    plugins: [],
    upstreamPort: await upstream.call("start", bodyBytes),
  });
  return {
    load,
    gateway,
    plan: (durationMs) => ({
      port,
      secure: false,
      connections: CONNECTIONS,
      requests: proxyRequests(routes),
      bodyBytes,
      durationMs,
      rate: 0,
    }),
  };
}
