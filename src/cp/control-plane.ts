import "../runtime/no-proto.ts";
import path from "node:path";
import { Gauge, type Registry } from "prom-client";
import type { Clock } from "../runtime/clock.ts";
import { CloseStack } from "../runtime/close-stack.ts";
import { GrpcServer } from "../runtime/grpc.ts";
import { formatHostPort, type HostPort } from "../runtime/host-port.ts";
import { HttpListener } from "../runtime/http-listener.ts";
import type { Logger } from "../runtime/logger.ts";
import { createProcessRegistry } from "../runtime/metrics.ts";
import { statusHandler, statusOnly } from "../runtime/status.ts";
import { ClusterTls } from "../runtime/tls/cluster-tls.ts";
import type { ClusterTlsFiles } from "../runtime/tls/material.ts";
import { LIMITS } from "../sync/limits.ts";
import { startAdmin } from "./admin/admin.ts";
import {
  openAdminAccess,
  type AdminAccessOptions,
} from "./access/open-access.ts";
import { STORE_DIRECTORY } from "./control-plane-files.ts";
import type { KeepHistory } from "./catalog/retention.ts";
import { controlPlaneStatus } from "./control-plane-status.ts";
import { Reception } from "./distributor/reception.ts";
import { openPublishing, type PublishOptions } from "./snapshot-publisher.ts";
import { LevelStore } from "./store/level-store.ts";
import { Workspaces } from "./workspaces/workspaces.ts";

/** How long writes that are under way at a stop may take, and then nodes that are told of it. */
const DRAIN_WRITES_MS = 2_500;
const DRAIN_NODES_MS = 2_500;

export interface ControlPlaneOptions extends AdminAccessOptions {
  /** Where the Admin RPCs, the status pages and metrics are served. */
  readonly adminListen: HostPort;
  /** Where data planes connect. */
  readonly syncListen: HostPort;
  /** Where the status pages and metrics are served too. Absent: only on the admin listener. */
  readonly statusListen?: HostPort;
  /** The sync addresses of other control planes, named to data planes that this one sends away. Default: none. */
  readonly alternatives?: readonly HostPort[];
  /** The control plane's own directory; made if need be. */
  readonly dataDir: string;
  /** What the link to the data planes is secured with. */
  readonly tls?: ClusterTlsFiles;
  /** Without `tls`: data planes are spoken to in clear text, by somebody's wish. */
  readonly insecureSync: boolean;
  /** Where the newest state is kept as a signed snapshot file. Absent: nowhere. */
  readonly publish?: PublishOptions;
  /** How much of each workspace's history is kept. Default: the newest 10,000 revisions. */
  readonly keepHistory?: KeepHistory;
  /** Version and build of this software. */
  readonly build: string;
}

export interface ControlPlaneDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A running control plane. Disposing of it says Goodbye to the data planes and closes everything. */
export interface ControlPlane extends AsyncDisposable {
  /** Bound addresses, "host:port". */
  readonly addresses: {
    readonly admin: string;
    readonly sync: string;
    readonly status?: string;
  };
}

/**
 * Starts a control plane: it serves when this resolves.
 *
 * @throws ListenError when an address is not to be had, ConfigError when the store is damaged or in use, or a certificate is not usable.
 */
export async function startControlPlane(
  options: ControlPlaneOptions,
  { clock, logger }: ControlPlaneDependencies,
): Promise<ControlPlane> {
  const { build } = options;
  await using stack = new CloseStack();
  const metrics = createProcessRegistry(build, "cp");
  // First: wrong files are told before anything is opened.
  const tls = await openTls(options, { clock, logger, metrics });
  if (tls !== undefined) stack.use(tls);
  const store = stack.use(
    await LevelStore.open({
      directory: path.join(options.dataDir, STORE_DIRECTORY),
      logger,
    }),
  );
  // After the store, which one process has alone.
  const guard = await openAdminAccess(options, stack, {
    clock,
    logger,
    metrics,
  });
  const publishing =
    options.publish && (await openPublishing(options.publish, metrics));
  const reception = stack.use(
    new Reception({
      clock,
      logger,
      metrics,
      build,
      alternatives: options.alternatives?.map(formatHostPort) ?? [],
    }),
  );
  const workspaces = stack.use(
    await Workspaces.open({
      store,
      clock,
      logger,
      reception,
      ...(publishing === undefined ? {} : { publishing }),
      ...(options.keepHistory === undefined
        ? {}
        : { keep: options.keepHistory }),
    }),
  );
  const status = controlPlaneStatus({ workspaces, clock, build });
  const sync = await GrpcServer.listen(
    options.syncListen,
    [reception.service],
    {
      maxReceiveBytes: LIMITS.nodeMessageBytes,
      tls,
      clock,
      admission: LIMITS.greetings,
      onFailure: (error) => {
        logger.error("sync.failed", { err: error });
      },
    },
  );
  stack.use(sync);
  new Gauge({
    name: "holdfast_cp_sync_waiting_connections",
    help: "Connections to the sync port that are not let in yet: they wait for their turn, or have not said enough.",
    registers: [metrics],
    collect() {
      this.set(sync.waiting);
    },
  });
  const statusListener =
    options.statusListen === undefined
      ? undefined
      : stack.use(
          await HttpListener.listen(
            options.statusListen,
            statusOnly(statusHandler(status, metrics)),
            { clock, logger },
          ),
        );
  const admin = stack.use(
    await startAdmin({
      listen: options.adminListen,
      workspaces,
      clock,
      logger,
      metrics,
      status,
      ...guard,
    }),
  );
  // Done in reverse: nobody may write any more, what is being written is finished, the nodes are told while there still is
  // a connection to tell them on, and then everything is closed.
  // Together: each gives those that hang on to it a while.
  stack.defer(() =>
    Promise.all([
      admin[Symbol.asyncDispose](),
      sync.close(),
      statusListener?.close(),
    ]),
  );
  stack.defer(() => atMost(DRAIN_NODES_MS, "nodes", reception.drain()));
  stack.defer(() => atMost(DRAIN_WRITES_MS, "writes", admin.drain()));
  const owned = stack.move();
  return {
    addresses: {
      admin: formatHostPort(admin.address),
      sync: formatHostPort(sync.address),
      ...(statusListener === undefined
        ? {}
        : { status: formatHostPort(statusListener.address) }),
    },
    [Symbol.asyncDispose]: () => owned.close(),
  };

  /** Waits for what somebody else may hold up, but not for long: a stop has 10 s in all. */
  async function atMost(
    ms: number,
    of: string,
    work: Promise<void>,
  ): Promise<void> {
    const done = new AbortController();
    const late = clock.sleep(ms, done.signal).then(
      () => {
        logger.warn("drain.took_too_long", { of, after_ms: ms });
      },
      () => undefined,
    );
    try {
      await Promise.race([work, late]);
    } finally {
      done.abort();
    }
  }
}

/** @throws ConfigError */
async function openTls(
  { tls, insecureSync }: ControlPlaneOptions,
  deps: ControlPlaneDependencies & { readonly metrics: Registry },
): Promise<ClusterTls | undefined> {
  if (tls !== undefined) return ClusterTls.open({ ...tls, ...deps });
  if (!insecureSync)
    throw new TypeError("a link without certificates needs insecureSync");
  return undefined;
}
