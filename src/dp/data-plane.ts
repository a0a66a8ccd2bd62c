import "../runtime/no-proto.ts";
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Registry } from "prom-client";
import type { Feature } from "../model/features.ts";
import type { Clock } from "../runtime/clock.ts";
import { CloseStack } from "../runtime/close-stack.ts";
import { formatHostPort, type HostPort } from "../runtime/host-port.ts";
import { HttpListener } from "../runtime/http-listener.ts";
import type { Logger } from "../runtime/logger.ts";
import { createProcessRegistry } from "../runtime/metrics.ts";
import { firstOf, statusHandler, statusOnly } from "../runtime/status.ts";
import { ClusterTls } from "../runtime/tls/cluster-tls.ts";
import type { ClusterTlsFiles } from "../runtime/tls/material.ts";
import type { Proxy } from "../runtime/tunnel.ts";
import { FAIL_ROUTE } from "../sync/features.ts";
import { AppliedState } from "./applied-state.ts";
import { dataPlaneStatus } from "./data-plane-status.ts";
import { readFallbackKey, runFallback } from "./fallback.ts";
import { Freshness, type WhenStale } from "./freshness.ts";
import type { Prepared } from "./gateway/states.ts";
import type { GatewaySettings } from "./gateway/settings.ts";
import { explainPage } from "./explain-page.ts";
import {
  addressViews,
  type AddressHealth,
  type AddressView,
} from "./gateway/upstreams/view.ts";
import { resolveNodeId } from "./node-id.ts";
import { openGateway, type WorkerOptions } from "./open-gateway.ts";
import { quarantine } from "./quarantine.ts";
import { ReplicaStore } from "./replica/replica-store.ts";
import { Applier } from "./sync/applier.ts";
import { SyncClient } from "./sync/sync-client.ts";
import type { ToldTarget } from "./sync/target-news.ts";

export interface DataPlaneOptions {
  /** Control planes to take the configuration from, tried in random order. At least one. */
  readonly controlPlanes: readonly HostPort[];
  /** The HTTP proxy to go through to them. Absent: none. */
  readonly clusterProxy?: Proxy;
  /** Where traffic comes in. */
  readonly proxyListen: HostPort;
  /** Where it comes in over TLS. Absent: nowhere. */
  readonly proxyTlsListen?: HostPort;
  /** Where the status pages and metrics are served. */
  readonly statusListen: HostPort;
  /** The data plane's own directory; made if need be. */
  readonly dataDir: string;
  /** Constant over restarts, unique among the nodes. Absent: one that is kept in the data directory. */
  readonly nodeId?: string;
  /** Shown in the node list. */
  readonly labels: Readonly<Record<string, string>>;
  readonly workspace: string;
  /** How it proxies. */
  readonly gateway: GatewaySettings;
  /** The processes that proxy. Absent: this one does. */
  readonly workers?: WorkerOptions;
  /** What the link to the control planes is secured with. */
  readonly tls?: ClusterTlsFiles;
  /** Without `tls`: control planes are spoken to in clear text, by somebody's wish. */
  readonly insecureSync: boolean;
  /** How long after the last confirmation by a control plane what is served counts as stale. Absent: never. */
  readonly maxStaleMs?: number;
  /** What comes of that, besides a metric and a line in the status. Traffic is served whatever this is. Default: nothing, "serve". */
  readonly whenStale?: WhenStale;
  /** A snapshot file to start from when there is nothing on the disk and no control plane. Absent: none. */
  readonly fallback?: {
    /** A file's name, or an http or https URL. */
    readonly source: string;
    /** The public key, in PEM form, of who must have signed it. */
    readonly keyFile: string;
  };
  /** Version and build of this software. */
  readonly build: string;
}

export interface DataPlaneDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A running data plane. Disposing of it lets requests in flight finish and closes everything. */
export interface DataPlane extends AsyncDisposable {
  /** Bound addresses, "host:port". */
  readonly addresses: {
    readonly proxy: string;
    /** Absent when it does not listen with TLS. */
    readonly proxy_tls?: string;
    readonly status: string;
  };
  /** Goes on in a new file when the access log's was moved away. */
  reopenLogs(): void;
}

/**
 * Starts a data plane. When this resolves it serves what it had on disk, if anything; it has not seen a control plane
 * yet, and need never do so to go on.
 *
 * @throws ListenError when an address is not to be had, ReplicaError when the directory is in use or of something else,
 * ConfigError when a certificate is not usable.
 */
export async function startDataPlane(
  options: DataPlaneOptions,
  { clock, logger }: DataPlaneDependencies,
): Promise<DataPlane> {
  const { build, workspace, dataDir } = options;
  await using stack = new CloseStack();
  const metrics = createProcessRegistry(build, "dp");
  // First: wrong files are told before anything is opened.
  const tls = await openTls(options, { clock, logger, metrics });
  if (tls !== undefined) stack.use(tls);
  const { gateway, group } = await openGateway(options, {
    clock,
    logger,
    metrics,
  });
  stack.use(gateway);
  const features: readonly Feature[] = [
    ...gateway.features,
    ...(options.gateway.onUnsupported === "fail-route"
      ? [{ name: FAIL_ROUTE, version: 1 }]
      : []),
  ];
  const { fallback } = options;
  // A wrong one is told before anything else: it is not missed until it is needed.
  const fallbackKey =
    fallback === undefined
      ? undefined
      : await readFallbackKey(fallback.keyFile);
  const boot = randomUUID();
  const replica = stack.use(
    await ReplicaStore.open({
      dataDir,
      workspace,
      refuser: refuserOf(build, features),
      boot,
      clock,
      logger,
      metrics,
    }),
  );
  const nodeId = await resolveNodeId(
    dataDir,
    { given: options.nodeId, certified: tls?.certificate.nodeId },
    logger,
  );
  const applied = new AppliedState({
    gateway,
    guard: replica.guard,
    clock,
    logger,
  });
  const { loaded } = replica;
  const serving =
    loaded !== undefined && (await applied.restore(loaded))
      ? loaded
      : undefined;
  const freshness = new Freshness({
    maxStaleMs: options.maxStaleMs,
    whenStale: options.whenStale ?? "serve",
    confirmedMs: replica.confirmedMs,
    store: (atMs) => replica.confirmed(atMs),
    clock,
    logger,
    metrics,
  });
  stack.defer(() => freshness.close());
  const applier = new Applier<Prepared>({
    workspace,
    clock,
    activation: applied,
    persistence: replica,
    served: serving,
  });
  const client = new SyncClient<Prepared>({
    controlPlanes: options.controlPlanes,
    tls,
    proxy: options.clusterProxy,
    workspace,
    node: {
      id: nodeId,
      boot,
      build,
      hostname: hostname(),
      labels: { ...options.labels },
    },
    features,
    applier,
    serving: serving?.cursor,
    refusals: replica.refusals,
    takeCounters: () => gateway.takeCounters(),
    targets: () => addressViews(gateway.upstreams()).map(toldTarget),
    onConfirmed: () => {
      freshness.confirm();
    },
    clock,
    logger,
    metrics,
    random: Math.random,
  });
  const status = dataPlaneStatus({
    nodeId,
    build,
    workspace,
    clock,
    gateway,
    group,
    applied,
    client,
    freshness,
    replica,
  });
  const statusListener = stack.use(
    await HttpListener.listen(
      options.statusListen,
      statusOnly(
        firstOf(
          explainPage((question) => gateway.explain(question)),
          statusHandler(status, group?.metrics ?? metrics),
        ),
      ),
      { clock, logger },
    ),
  );
  await gateway.open(options.proxyListen, options.proxyTlsListen);

  // Only now: a cached data plane serves before it ever sees a control plane.
  const stop = new AbortController();
  const running = client.run(stop.signal).catch((error: unknown) => {
    logger.error("sync.stopped", { err: error });
  });
  group?.onGuilty((cursor) => {
    void quarantine({ client, applied, replica, group, logger }, cursor).catch(
      (error: unknown) => {
        logger.error("replica.not_quarantined", { err: error });
      },
    );
  });
  const startingFrom =
    fallback === undefined || fallbackKey === undefined
      ? undefined
      : runFallback(
          {
            source: fallback.source,
            publicKey: fallbackKey,
            workspace,
            applied,
            replica,
            client,
            freshness,
            clock,
            logger,
            random: Math.random,
          },
          stop.signal,
        ).catch((error: unknown) => {
          logger.error("fallback.stopped", { err: error });
        });
  stack.defer(async () => {
    stop.abort();
    await Promise.all([running, startingFrom]);
  });
  // First of all that is closed: whatever the rest takes, this process was asked to end.
  stack.defer(() => replica.guard.end());
  const owned = stack.move();
  return {
    addresses: {
      proxy: gateway.address,
      ...(gateway.tlsAddress === "" ? {} : { proxy_tls: gateway.tlsAddress }),
      status: formatHostPort(statusListener.address),
    },
    reopenLogs: () => {
      gateway.reopenLogs();
    },
    [Symbol.asyncDispose]: () => owned.close(),
  };
}

/** @throws ConfigError */
async function openTls(
  { tls, insecureSync }: DataPlaneOptions,
  deps: DataPlaneDependencies & { readonly metrics: Registry },
): Promise<ClusterTls | undefined> {
  if (tls !== undefined) return ClusterTls.open({ ...tls, ...deps });
  if (!insecureSync)
    throw new TypeError("a link without certificates needs insecureSync");
  return undefined;
}

/** What decides whether a refusal still holds. */
function refuserOf(build: string, features: readonly Feature[]): string {
  const names = features.map(({ name, version }) => `${name}@${version}`);
  return [build, ...names.sort()].join(" ");
}

/** A target as Reports tell of it. */
function toldTarget({
  upstream,
  target,
  address,
  health,
}: AddressView): ToldTarget {
  return { upstream, target, address, state: STATES[health] };
}

const STATES: Readonly<Record<AddressHealth, string>> = {
  HEALTHY: "healthy",
  UNHEALTHY: "unhealthy",
  DNS_ERROR: "dns_error",
  HEALTHCHECKS_OFF: "off",
};
