import "../runtime/no-proto.ts";
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Feature } from "../model/features.ts";
import type { Clock } from "../runtime/clock.ts";
import { CloseStack } from "../runtime/close-stack.ts";
import { formatHostPort, type HostPort } from "../runtime/host-port.ts";
import { HttpListener } from "../runtime/http-listener.ts";
import type { Logger } from "../runtime/logger.ts";
import { createProcessRegistry } from "../runtime/metrics.ts";
import type { Proxy } from "../runtime/tunnel.ts";
import { statusHandler, statusOnly } from "../runtime/status.ts";
import { FAIL_ROUTE } from "../sync/features.ts";
import { AppliedState } from "./applied-state.ts";
import { dataPlaneStatus } from "./data-plane-status.ts";
import { Gateway, type Prepared } from "./gateway/gateway.ts";
import { resolveNodeId } from "./node-id.ts";
import { ReplicaStore } from "./replica/replica-store.ts";
import { Applier } from "./sync/applier.ts";
import { SyncClient } from "./sync/sync-client.ts";

export interface DataPlaneOptions {
  /** Control planes to take the configuration from, tried in random order. At least one. */
  readonly controlPlanes: readonly HostPort[];
  /** The HTTP proxy to go through to them. Absent: none. */
  readonly clusterProxy?: Proxy;
  /** Where traffic comes in. */
  readonly proxyListen: HostPort;
  /** Where the status pages and metrics are served. */
  readonly statusListen: HostPort;
  /** The data plane's own directory; made if need be. */
  readonly dataDir: string;
  /** Constant over restarts, unique among the nodes. Absent: one that is kept in the data directory. */
  readonly nodeId?: string;
  /** Shown in the node list. */
  readonly labels: Readonly<Record<string, string>>;
  readonly workspace: string;
  /** What becomes of a configuration with a plugin that this data plane lacks: not applied, or applied with the routes in the plugin's scope answering 503. */
  readonly onUnsupported: "refuse" | "fail-route";
  /** The control plane is spoken to in clear text. The only mode there is. */
  readonly insecureSync: true;
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
  readonly addresses: { readonly proxy: string; readonly status: string };
}

/**
 * Starts a data plane. When this resolves it serves what it had on disk, if anything; it has not seen a control plane
 * yet, and need never do so to go on.
 *
 * @throws ListenError when an address is not to be had, ReplicaError when the directory is in use or of something else.
 */
export async function startDataPlane(
  options: DataPlaneOptions,
  { clock, logger }: DataPlaneDependencies,
): Promise<DataPlane> {
  const { build, workspace, dataDir } = options;
  await using stack = new CloseStack();
  const metrics = createProcessRegistry(build, "dp");
  const gateway = stack.use(
    Gateway.create({
      onUnsupported: options.onUnsupported,
      clock,
      logger,
      metrics,
    }),
  );
  const features: readonly Feature[] = [
    ...gateway.features,
    ...(options.onUnsupported === "fail-route"
      ? [{ name: FAIL_ROUTE, version: 1 }]
      : []),
  ];
  const replica = stack.use(
    await ReplicaStore.open({
      dataDir,
      workspace,
      refuser: refuserOf(build, features),
      clock,
      logger,
    }),
  );
  const nodeId = await resolveNodeId(dataDir, options.nodeId, logger);
  const { loaded } = replica;
  let serving = loaded;
  if (loaded !== undefined) {
    const result = await gateway.prepare(loaded);
    if (result.ok) gateway.commit(result.prepared);
    else {
      // Another build wrote it. It stays on disk; the control plane is told and sends what this build can use.
      logger.error("replica.not_servable", {
        revision: loaded.cursor.revision,
        class: result.class,
        violations: result.violations.slice(0, 3),
      });
      serving = undefined;
    }
  }

  const applied = new AppliedState(gateway, clock);
  if (serving !== undefined) applied.begin(serving);
  const applier = new Applier<Prepared>({
    workspace,
    clock,
    activation: applied,
    persistence: replica,
    served: serving,
  });
  const client = new SyncClient<Prepared>({
    controlPlanes: options.controlPlanes,
    proxy: options.clusterProxy,
    workspace,
    node: {
      id: nodeId,
      boot: randomUUID(),
      build,
      hostname: hostname(),
      labels: { ...options.labels },
    },
    features,
    applier,
    serving: serving?.cursor,
    refusals: replica.refusals,
    takeCounters: () => gateway.takeCounters(),
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
    applied,
    client,
  });
  const statusListener = stack.use(
    await HttpListener.listen(
      options.statusListen,
      statusOnly(statusHandler(status, metrics)),
      { clock, logger },
    ),
  );
  await gateway.open(options.proxyListen);

  // Only now: a cached data plane serves before it ever sees a control plane.
  const stop = new AbortController();
  const running = client.run(stop.signal).catch((error: unknown) => {
    logger.error("sync.stopped", { err: error });
  });
  stack.defer(async () => {
    stop.abort();
    await running;
  });
  const owned = stack.move();
  return {
    addresses: {
      proxy: gateway.address,
      status: formatHostPort(statusListener.address),
    },
    [Symbol.asyncDispose]: () => owned.close(),
  };
}

/** What decides whether a refusal still holds. */
function refuserOf(build: string, features: readonly Feature[]): string {
  const names = features.map(({ name, version }) => `${name}@${version}`);
  return [build, ...names.sort()].join(" ");
}
