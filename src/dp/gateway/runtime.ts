import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Consumers } from "../plugins/plugin.ts";
import type { LinkedUpstream } from "./compile/link-upstream.ts";
import type { LinkState } from "./compile/links.ts";
import type { ServerNames } from "./downstream/certificates.ts";
import type { PluginChains } from "./plugin-chains.ts";
import type { UpstreamAgent } from "./proxy/upstream-agent.ts";
import type { RouteConditions } from "./router/conditions.ts";
import type { Router } from "./router/router.ts";
import type { Balancer } from "./upstreams/balancer.ts";
import type { PeerSource } from "./upstreams/peer.ts";

/** Where requests of a route go. */
export interface ServedService {
  readonly id: string;
  /** Empty when it has none. */
  readonly name: string;
  readonly protocol: "http" | "https" | "grpc" | "grpcs";
  /** Without brackets; may be the name of an upstream. */
  readonly host: string;
  readonly port: number;
  /** Empty for none. */
  readonly path: string;
  /** Attempts after the first. */
  readonly retries: number;
  readonly connectTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly readTimeoutMs: number;
  /** Where its requests go. */
  readonly peers: PeerSource;
  /** The Host header that the upstream wants; undefined for the target's name. */
  readonly hostHeader: string | undefined;
  readonly agent: UpstreamAgent;
}

/** Whether an upstream's protocol is spoken over TLS. */
export function isSecure(protocol: ServedService["protocol"]): boolean {
  return protocol === "https" || protocol === "grpcs";
}

/** A route that requests are matched with. */
export interface ServedRoute {
  readonly id: string;
  /** Empty when it has none. */
  readonly name: string;
  readonly conditions: RouteConditions;
  /** Whether plain http is answered with an upgrade or a redirect to https. */
  readonly httpsOnly: boolean;
  readonly httpsRedirectStatus: number;
  /** Only gRPC calls are served, and perhaps only over TLS; undefined for a route of plain HTTP. */
  readonly grpc: { readonly secureOnly: boolean } | undefined;
  readonly stripPath: boolean;
  readonly pathHandling: "v0" | "v1";
  readonly preserveHost: boolean;
  /** Looked up in `Runtime.services`, so that routes do not change with their service. A route without one answers 503,
   *  unless a plugin answers first. */
  readonly serviceId: string | undefined;
}

/** Something of a state that is not served as it is meant. */
export interface Degradation {
  readonly key: string;
  readonly reason: string;
}

/**
 * Everything that requests of one revision are served with. Immutable but for positions of balancers and caches;
 * what did not change is shared with the revision before.
 */
export interface Runtime {
  readonly cursor: Cursor;
  readonly snapshot: Snapshot;
  readonly router: Router<ServedRoute>;
  readonly chains: PluginChains;
  readonly consumers: Consumers;
  /** What TLS clients are shown. */
  readonly serverNames: ServerNames;
  /** All routes, in no order that means anything; undefined for each entry that is none. */
  routes(): Iterable<ServedRoute | undefined>;
  /** What is served of each kind, by id. */
  readonly services: Lookup<ServedService>;
  readonly upstreams: Lookup<LinkedUpstream>;
  /** All of them, by the upstream's id. */
  readonly balancers: ReadonlyMap<string, Balancer>;
  /** The connections that the services use, and how many do. */
  readonly agents: ReadonlyMap<UpstreamAgent, number>;
  readonly degraded: readonly Degradation[];
  /** Oddities worth a line in the log: nothing is wrong with what is served. */
  readonly warnings: readonly Degradation[];
  /** Routes, services and so on that are served. */
  readonly counts: { readonly routes: number; readonly services: number };
  /** What all entries came to, so that the next compilation begins from here. */
  readonly links: LinkState;
}

/** What something is looked up in. */
interface Lookup<T> {
  get(id: string): T | undefined;
}
