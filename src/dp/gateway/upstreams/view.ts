import type { Balancer } from "./balancer.ts";
import type { Peer } from "./balancing/balancing.ts";
import { isChecked } from "./health/health-rules.ts";
import { addressText } from "./peer.ts";
import type { Target } from "./target.ts";

/** How one address is doing. Kong's words. */
export type AddressHealth =
  "HEALTHY" | "UNHEALTHY" | "DNS_ERROR" | "HEALTHCHECKS_OFF";

/** An upstream as people see it. Plain data. */
export interface UpstreamView {
  readonly id: string;
  readonly name: string;
  readonly algorithm: string;
  /** Whether enough of it takes requests. */
  readonly health: AddressHealth;
  readonly targets: readonly {
    /** "host:port" */
    readonly target: string;
    readonly weight: number;
    readonly health: AddressHealth;
    /** Why there is no address, or null. */
    readonly trouble: string | null;
    readonly addresses: readonly {
      readonly address: string;
      readonly weight: number;
      readonly health: AddressHealth;
    }[];
  }[];
}

/** One address of one upstream, and how it is doing. Plain data. */
export interface AddressView {
  /** The upstream's name. */
  readonly upstream: string;
  readonly target: string;
  /** Empty when the target has none. */
  readonly address: string;
  readonly health: AddressHealth;
}

/** An upstream as it is at the moment. */
export function viewOf(balancer: Balancer): UpstreamView {
  const { id, name, algorithm, health } = balancer.settings;
  const checked = isChecked(health);
  return {
    id,
    name,
    algorithm,
    health: checked ? wordOf(balancer.healthy) : "HEALTHCHECKS_OFF",
    targets: balancer.targets.map((target) => ({
      target: target.text,
      weight: target.weight,
      health: targetHealth(target, checked),
      trouble: target.trouble ?? null,
      addresses: target.peers.map((peer) => ({
        address: textOf(peer),
        weight: peer.weight,
        health: addressHealth(peer, checked),
      })),
    })),
  };
}

/** All addresses of these upstreams: those first that somebody should look at. */
export function addressViews(
  upstreams: readonly UpstreamView[],
): AddressView[] {
  const views: AddressView[] = [];
  for (const { name: upstream, targets } of upstreams)
    for (const { target, health, addresses } of targets) {
      if (health === "DNS_ERROR")
        views.push({ upstream, target, address: "", health });
      for (const one of addresses)
        views.push({
          upstream,
          target,
          address: one.address,
          health: one.health,
        });
    }
  return views.sort((a, b) => RANK[a.health] - RANK[b.health]);
}

const RANK: Readonly<Record<AddressHealth, number>> = {
  UNHEALTHY: 0,
  DNS_ERROR: 1,
  HEALTHY: 2,
  HEALTHCHECKS_OFF: 3,
};

function targetHealth(
  { peers, trouble }: Target,
  checked: boolean,
): AddressHealth {
  if (trouble !== undefined) return "DNS_ERROR";
  if (!checked) return "HEALTHCHECKS_OFF";
  // Of one whose first answer has not come, nothing bad is known.
  return wordOf(peers.length === 0 || peers.some(({ state }) => state.healthy));
}

function addressHealth({ state }: Peer, checked: boolean): AddressHealth {
  return checked ? wordOf(state.healthy) : "HEALTHCHECKS_OFF";
}

function wordOf(healthy: boolean): AddressHealth {
  return healthy ? "HEALTHY" : "UNHEALTHY";
}

/** Of one that is looked up for every request, its name. */
function textOf({ name, address, port }: Peer): string {
  return addressText(address ?? name, port);
}
