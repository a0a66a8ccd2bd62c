import { serveCalls, type Calls } from "./child.ts";

/** The parts that processes of a bench play, and where each is found. */
const ROLES = {
  "admin-cp": async () =>
    (await import("../roles/admin-cp.ts")).adminControlPlane(),
  "admin-echo": async () =>
    (await import("../roles/admin-echo.ts")).adminEcho(),
  "crowd-clients": async () =>
    (await import("../roles/crowd-clients.ts")).crowdClients(),
  "fleet-bare": async () =>
    (await import("../roles/fleet-bare.ts")).fleetBare(),
  "fleet-cp": async () =>
    (await import("../roles/fleet-cp.ts")).fleetControlPlane(),
  "fleet-nodes": async () =>
    (await import("../roles/fleet-nodes.ts")).fleetNodes(),
  "propagate-cp": async () =>
    (await import("../roles/propagate-cp.ts")).propagateControlPlane(),
  "propagate-dp": async () =>
    (await import("../roles/propagate-dp.ts")).propagateDataPlanes(),
  "proxy-bare": async () =>
    (await import("../roles/proxy-bare.ts")).proxyBare(),
  "proxy-gateway": async () =>
    (await import("../roles/proxy-gateway.ts")).proxyGateway(),
  "proxy-load": async () =>
    (await import("../roles/proxy-load.ts")).proxyLoad(),
  "proxy-upstream": async () =>
    (await import("../roles/proxy-upstream.ts")).proxyUpstream(),
  "proxy-workers": async () =>
    (await import("../roles/proxy-workers.ts")).proxyWorkers(),
  "real-dp": async () => (await import("../roles/real-dp.ts")).realDataPlanes(),
  "router-own": async () =>
    (await import("../roles/router-own.ts")).routerOwn(),
  "router-peer": async () =>
    (await import("../roles/router-peer.ts")).routerPeer(),
  "size-cp": async () =>
    (await import("../roles/size-cp.ts")).sizeControlPlane(),
  "size-dp": async () => (await import("../roles/size-dp.ts")).sizeDataPlane(),
  "slow-node": async () => (await import("../roles/slow-node.ts")).slowNode(),
  traffic: async () => (await import("../roles/traffic.ts")).traffic(),
} satisfies Record<string, () => Promise<Calls>>;

export type RoleName = keyof typeof ROLES;

/** Plays a part until the parent process lets go of this one. */
export async function playRole(name: string): Promise<void> {
  const role = Object.entries(ROLES).find(([known]) => known === name);
  if (role === undefined) throw new TypeError(`there is no role "${name}"`);
  serveCalls(await role[1]());
}
