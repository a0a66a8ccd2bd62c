import { randomUUID } from "node:crypto";
import type { Registry } from "prom-client";
import {
  GoodbyeReason,
  SyncService,
  type Hello,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Clock, Timer } from "../../runtime/clock.ts";
import { bindBidi, type BoundService } from "../../runtime/grpc.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Peer } from "../../runtime/peer.ts";
import { LIMITS } from "../../sync/limits.ts";
import { BucketFrames } from "./bucket-frames.ts";
import { Connection } from "./connection.ts";
import type { ConnectionDesk, Routing } from "./connection-host.ts";
import type { Distributor, ReceptionShare } from "./distributor.ts";
import { DistributorMetrics } from "./distributor-metrics.ts";
import { WriteBudget } from "./write-budget.ts";

/** How often the machines see the time. */
const TICK_MS = 1_000;
/** While others wait for room to write, a node must have taken what was written to it within this. */
const STUCK_MS = 5_000;
/** At a shutdown nodes are told to come back spread over this for each of them, and at most over `DRAIN_MS`. */
const DRAIN_EACH_MS = 10;
const DRAIN_MS = 30_000;
/** What an empty workspace in a Hello means. */
const DEFAULT_WORKSPACE = "default";

export interface ReceptionOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Registry;
  /** The control plane's build, told to nodes. */
  readonly build: string;
  /** Other control planes, "host:port", named to nodes that are sent away because of this one. Default: none. */
  readonly alternatives?: readonly string[];
  /** From 0 up to, not including, 1. Default: Math.random. */
  readonly random?: () => number;
}

/**
 * Where the nodes of all workspaces come in: brings each to its workspace's distributor by its Hello, and keeps what a
 * process has only one of, the room for what is written and not drained.
 */
export class Reception implements ReceptionShare, AsyncDisposable {
  readonly metrics: DistributorMetrics;
  readonly bucketFrames = new BucketFrames();
  readonly #options: ReceptionOptions;
  readonly #desk: ConnectionDesk;
  readonly #distributors = new Map<string, Distributor>();
  /** Why a workspace that is there is not served. */
  readonly #unavailable = new Map<string, string>();
  readonly #connections = new Set<Connection>();
  readonly #running = new Set<Promise<void>>();
  #ticking: Timer | undefined;
  #draining = false;

  constructor(options: ReceptionOptions) {
    this.#options = options;
    const snapshotBudget = new WriteBudget(LIMITS.snapshotBytesInFlight);
    const budget = new WriteBudget(
      LIMITS.undrainedBytes - LIMITS.snapshotBytesInFlight,
    );
    this.metrics = new DistributorMetrics(options.metrics, () => ({
      workspaces: new Map(
        [...this.#distributors].map(([workspace, { figures }]) => [
          workspace,
          figures,
        ]),
      ),
      unavailable: [...this.#unavailable.keys()],
      undrainedBytes: budget.usedBytes + snapshotBudget.usedBytes,
    }));
    this.#desk = {
      clock: options.clock,
      logger: options.logger,
      build: options.build,
      alternatives: options.alternatives ?? [],
      budget,
      snapshotBudget,
      route: (hello, peer) => this.#route(hello, peer),
      counted: (direction, type, bytes) => {
        this.metrics.counted(direction, type, bytes);
      },
    };
    this.#tick();
  }

  /** What to serve on the sync listener. */
  get service(): BoundService {
    return bindBidi(SyncService, {
      connect: async (call, gone, peer) => {
        const connection = new Connection(
          randomUUID(),
          call,
          gone,
          peer,
          this.#desk,
        );
        this.#connections.add(connection);
        const run = connection.run();
        this.#running.add(run);
        try {
          if (this.#draining) this.#dismiss(connection, 0);
          await run;
        } finally {
          this.#running.delete(run);
          this.#connections.delete(connection);
        }
      },
    });
  }

  /** From now on the nodes of a workspace are brought to its distributor. */
  open(workspace: string, distributor: Distributor): void {
    this.#unavailable.delete(workspace);
    this.#distributors.set(workspace, distributor);
    this.metrics.enter(workspace);
  }

  /** There is such a workspace, and it cannot be served: its nodes are told why. */
  declare(workspace: string, reason: string): void {
    this.#unavailable.set(workspace, reason);
  }

  /** There is no such workspace any more: its nodes are told so, and those that still come. Resolves when they are gone. */
  async close(workspace: string): Promise<void> {
    this.#unavailable.delete(workspace);
    const distributor = this.#distributors.get(workspace);
    this.#distributors.delete(workspace);
    this.metrics.forget(workspace);
    await distributor?.dismiss(
      missing(workspace, `workspace "${workspace}" was deleted`),
    );
  }

  /**
   * Tells every node that the control plane goes, and those that still come, and waits for the streams to end. To be
   * called while their listener still serves: a Goodbye needs a connection.
   */
  async drain(): Promise<void> {
    if (!this.#draining) {
      this.#draining = true;
      this.#dismissAll();
    }
    await Promise.all(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
    this.#ticking?.cancel();
  }

  #route({ workspace, node }: Hello, peer: Peer): Routing {
    const name = workspace === "" ? DEFAULT_WORKSPACE : workspace;
    const bound = peer.certificate?.workspaces ?? [];
    // First: whether there is such a workspace is not for everybody.
    if (bound.length > 0 && !bound.includes(name)) {
      this.#options.logger.error("node.wrong_workspace", {
        node: node?.id,
        workspace: name,
        certificate_workspaces: bound,
        peer: peer.address,
      });
      return {
        ok: false,
        reason: GoodbyeReason.IDENTITY,
        message: `the certificate is for workspace ${bound.map((one) => `"${one}"`).join(", ")}, and the node asks for "${name}". Start it with --workspace ${bound[0] ?? ""}, or give it a certificate for "${name}"`,
        retryAfterMs: LIMITS.hopelessRetryMs,
      };
    }
    const distributor = this.#distributors.get(name);
    if (distributor !== undefined) return { ok: true, host: distributor.host };
    const reason = this.#unavailable.get(name);
    return reason === undefined
      ? { ok: false, ...missing(name, `there is no workspace "${name}"`) }
      : {
          ok: false,
          reason: GoodbyeReason.UNAVAILABLE,
          message: `workspace "${name}" cannot be served: ${reason}`,
          retryAfterMs: LIMITS.hopelessRetryMs,
        };
  }

  #tick(): void {
    this.#ticking = this.#options.clock.setTimer(TICK_MS, () => {
      for (const connection of this.#connections)
        connection.dispatch({ type: "ticked" });
      this.#relieve();
      this.#tick();
    });
  }

  /**
   * Ends the streams of nodes that do not read: soon while others wait for the room that their frames take up, and in the
   * end in any case, whatever else they say.
   */
  #relieve(): void {
    const { budget, snapshotBudget, clock } = this.#desk;
    const isTight = budget.waiting > 0 || snapshotBudget.waiting > 0;
    const limitMs = isTight ? STUCK_MS : LIMITS.stallMs;
    const nowMs = clock.monotonic();
    for (const connection of this.#connections) {
      const stuckMs = connection.stuckMs(nowMs);
      if (stuckMs > limitMs)
        connection.dispatch({
          type: "dismissed",
          reason: GoodbyeReason.STALLED,
          message: `the node has not read for ${Math.round(stuckMs / 1000)} s${isTight ? " and others wait for room" : ""}`,
        });
    }
  }

  /** Spread out, so that they do not all come back at once, here or elsewhere. */
  #dismissAll(): void {
    const { random = Math.random } = this.#options;
    const spanMs = Math.min(DRAIN_MS, this.#connections.size * DRAIN_EACH_MS);
    for (const connection of this.#connections)
      this.#dismiss(connection, Math.round(random() * spanMs));
  }

  #dismiss(connection: Connection, retryAfterMs: number): void {
    connection.dispatch({
      type: "dismissed",
      reason: GoodbyeReason.DRAIN,
      message: "the control plane shuts down",
      retryAfterMs,
    });
  }
}

/** It keeps serving, and asks again after long: somebody may create the workspace. */
function missing(workspace: string, what: string) {
  return {
    reason: GoodbyeReason.NOT_FOUND,
    message: `${what}: start the node with another --workspace, or create it: "holdfast workspace create ${workspace}"`,
    retryAfterMs: LIMITS.hopelessRetryMs,
  };
}
