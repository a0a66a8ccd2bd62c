import type { Node } from "../../gen/holdfast/admin/v1/node_service_pb.js";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import { cursorsEqual } from "../../model/cursor.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Clock } from "../../runtime/clock.ts";
import { CloseStack } from "../../runtime/close-stack.ts";
import type { Logger } from "../../runtime/logger.ts";
import { driveSlices } from "../../runtime/slices.ts";
import type { FeatureNeed } from "../../sync/features.ts";
import { LIMITS } from "../../sync/limits.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Store } from "../store/store.ts";
import type { BucketFrames } from "./bucket-frames.ts";
import type { ConnectionHost, NodeStream } from "./connection-host.ts";
import type {
  DistributorMetrics,
  WorkspaceFigures,
} from "./distributor-metrics.ts";
import { Frames } from "./frames.ts";
import { NeedIndex } from "./needs.ts";
import { FleetHealth } from "./fleet-health.ts";
import { NodeRegistry } from "./node-registry.ts";
import { NodeStreams, type Dismissal } from "./node-streams.ts";
import type {
  FleetView,
  LackingNodes,
  NodeEvent,
  NodePlace,
  Nodes,
  WaitState,
} from "./nodes.ts";
import { Pacer } from "./pacer.ts";
import { Pins } from "./pins.ts";
import { Rollout, type Target } from "./rollout.ts";

export interface DistributorOptions {
  readonly catalog: Catalog;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where the nodes of all workspaces come in. */
  readonly reception: ReceptionShare;
}

/** What the workspaces of a process have together. */
export interface ReceptionShare {
  readonly metrics: DistributorMetrics;
  readonly bucketFrames: BucketFrames;
}

interface Published {
  readonly head: Cursor;
  readonly predecessors: readonly string[];
  readonly snapshot: Snapshot;
  readonly needs: readonly FeatureNeed[];
}

/** Brings one workspace's newest state to its nodes, and knows what each of them serves. */
export class Distributor implements Nodes, AsyncDisposable {
  readonly #options: DistributorOptions;
  readonly #rollout: Rollout;
  readonly #registry: NodeRegistry;
  readonly #needs: NeedIndex;
  readonly #pacer: Pacer;
  readonly #pins = new Pins(LIMITS.pinnedStates);
  readonly #fleet = new FleetHealth();
  readonly #streams: NodeStreams;
  #published: Published;
  #stack = new CloseStack();
  /** Pins and pauses that are being written: nodes are sent nothing newer meanwhile, so that none overtakes its own pin. */
  #settling = 0;

  /** What the connections of this workspace's nodes need. */
  readonly host: ConnectionHost;

  private constructor(
    options: DistributorOptions,
    rollout: Rollout,
    registry: NodeRegistry,
    needs: NeedIndex,
  ) {
    this.#options = options;
    this.#rollout = rollout;
    this.#registry = registry;
    this.#needs = needs;
    this.#published = publishedOf(options.catalog, needs);
    this.#pacer = new Pacer(options.clock, () => {
      this.#publish();
    });
    const { catalog, logger, reception } = options;
    this.#streams = new NodeStreams({
      workspace: catalog.workspace,
      logger,
      metrics: reception.metrics,
      registry,
      fleet: this.#fleet,
      newestOf: (node) => {
        this.#pacer.flush();
        return this.#targetOf(node);
      },
      epoch: () => this.#published.head.epoch,
    });
    this.host = {
      frames: new Frames(reception.bucketFrames),
      pins: this.#pins,
      published: () => this.#published,
      snapshot: (cursor) =>
        cursorsEqual(cursor, this.#published.head)
          ? this.#published.snapshot
          : (rollout.snapshot(cursor) ?? catalog.retained(cursor)),
      isForked: (have) =>
        have?.epoch === this.#published.head.epoch &&
        !cursorsEqual(have, this.#published.head) &&
        catalog.knows(have).then((known) => !known),
      streams: this.#streams,
    };
  }

  /** Reads what the store knows of nodes and follows the catalog from then on. */
  static async open(options: DistributorOptions): Promise<Distributor> {
    const { catalog, store, clock, logger } = options;
    const stack = new CloseStack();
    try {
      const needs = new NeedIndex();
      const { workspace } = catalog;
      const rollout = stack.use(
        await Rollout.open({ catalog, store, clock, logger }),
      );
      const registry = stack.use(
        await NodeRegistry.open(
          {
            workspace,
            store,
            clock,
            logger,
            holdOf: (id) => rollout.holdOf(id),
          },
          catalog.head.cursor,
        ),
      );
      await driveSlices(needs.load(catalog.head.snapshot));
      const distributor = new Distributor(options, rollout, registry, needs);
      stack.defer(
        catalog.onCommit((_head, records) => {
          for (const record of records) needs.update(record.changes);
          distributor.#pacer.poke();
        }),
      );
      distributor.#stack = stack;
      return distributor;
    } catch (error) {
      await stack.close();
      throw error;
    }
  }

  /** For metrics and status. */
  get figures(): WorkspaceFigures {
    return {
      head: this.#published.head,
      sessions: this.#streams.greeted,
      nodes: this.#registry.figures(),
      pinnedStates: this.#pins.size,
    };
  }

  list(workspace: string, after?: NodePlace, limit?: number): Node[] {
    return this.#serves(workspace) ? this.#registry.list(after, limit) : [];
  }

  get(workspace: string, id: string): Node | undefined {
    return this.#serves(workspace) ? this.#registry.get(id) : undefined;
  }

  retry(workspace: string, id: string): Node | undefined {
    if (!this.#serves(workspace) || !this.#registry.forgive(id))
      return undefined;
    this.#streams.of(id)?.dispatch({ type: "retried" });
    return this.#registry.get(id);
  }

  allow(workspace: string, id: string): Node | undefined {
    // For the epoch that its session is about to be offered.
    this.#pacer.flush();
    const { epoch } = this.#published.head;
    if (!this.#serves(workspace) || !this.#registry.allow(id, epoch))
      return undefined;
    this.#streams.of(id)?.dispatch({ type: "allowed" });
    return this.#registry.get(id);
  }

  /** The lowest revision that nodes are kept at, or are about to be. */
  get heldFrom(): bigint | undefined {
    return this.#rollout.heldFrom;
  }

  async forget(
    workspace: string,
    id: string,
  ): Promise<"forgotten" | "connected" | undefined> {
    if (!this.#serves(workspace)) return undefined;
    const isHeld = this.#settling > 0 || this.#rollout.isPinned(id);
    const outcome = this.#registry.forget(id);
    if (outcome === "forgotten") {
      const unpin = (): Promise<void> => this.#rollout.unpin([id]);
      // It may be back before its pin is gone, and is to be told then. Most have none: nobody else need hear of those.
      await (isHeld ? this.#settle(unpin) : unpin());
    }
    return outcome;
  }

  labelled(
    workspace: string,
    labels: Readonly<Record<string, string>>,
  ): readonly string[] {
    return this.#serves(workspace) ? this.#registry.labelled(labels) : [];
  }

  isPinned(workspace: string, id: string): boolean {
    return this.#serves(workspace) && this.#rollout.isPinned(id);
  }

  pausedAt(workspace: string): bigint | undefined {
    return this.#serves(workspace)
      ? this.#rollout.pausedAt?.revision
      : undefined;
  }

  async pin(
    workspace: string,
    ids: readonly string[],
    revision: bigint,
  ): Promise<void> {
    if (!this.#serves(workspace)) return;
    await this.#settle(() =>
      this.#rollout.pin(ids, revision, (cursor) => {
        this.#registry.refusePast(ids, cursor);
      }),
    );
  }

  async unpin(workspace: string, ids: readonly string[]): Promise<void> {
    if (!this.#serves(workspace)) return;
    await this.#settle(() => this.#rollout.unpin(ids));
  }

  async pause(workspace: string): Promise<bigint> {
    // What was committed before goes out.
    this.#pacer.flush();
    await this.#settle(() => {
      const { head, snapshot, needs } = this.#published;
      return this.#rollout.pause({ cursor: head, snapshot, needs });
    });
    return this.pausedAt(workspace) ?? this.#published.head.revision;
  }

  async resume(workspace: string): Promise<bigint> {
    this.#pacer.flush();
    if (this.#serves(workspace))
      await this.#settle(() => this.#rollout.resume());
    return this.#published.head.revision;
  }

  onChange(listener: (event: NodeEvent) => void): () => void {
    return this.#registry.onChange(listener);
  }

  upstreamHealth(workspace: string, upstream?: string): FleetView {
    return this.#serves(workspace)
      ? {
          upstreams: this.#fleet.list(upstream),
          incompleteNodes: this.#fleet.incompleteNodes,
        }
      : { upstreams: [], incompleteNodes: 0 };
  }

  waiting(
    _workspace: string,
    revision: bigint,
    labels: Readonly<Record<string, string>> = {},
  ): WaitState {
    return this.#registry.waiting(revision, labels);
  }

  unsupportedBy(
    _workspace: string,
    features: readonly { readonly name: string; readonly version: number }[],
  ): LackingNodes[] {
    return this.#registry.unsupportedBy(features);
  }

  /** Which connected nodes refuse the newest state for entries other than these. */
  refusingWithout(changed: ReadonlySet<string>): LackingNodes[] {
    return this.#registry
      .unsupportedBy(this.#needs.without(changed))
      .filter(({ refusing }) => refusing);
  }

  /**
   * Sends this workspace's nodes away, and those that still come, and waits for their streams to end. To be called while
   * their listener still serves: a Goodbye needs a connection.
   */
  async dismiss(dismissal: Dismissal): Promise<void> {
    this.#pacer.stop();
    await this.#streams.dismiss(dismissal);
  }

  /** Stops following the catalog, and writes what is known of the nodes. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#pacer.stop();
    await this.#stack.close();
  }

  #serves(workspace: string): boolean {
    return workspace === this.#options.catalog.workspace;
  }

  /** Changes what keeps nodes from the head, and then tells all of them what they should serve. */
  async #settle(change: () => Promise<void>): Promise<void> {
    this.#settling++;
    try {
      await change();
    } finally {
      if (--this.#settling === 0) {
        this.#publish();
        this.#rollout.tidy();
      }
    }
  }

  #targetOf(node: string | undefined): Target {
    return this.#rollout.targetOf(node, this.#published);
  }

  #publish(): void {
    if (this.#settling > 0) return;
    this.#published = publishedOf(this.#options.catalog, this.#needs);
    this.#registry.setHead(this.#published.head);
    // The nodes first, then those who watch them.
    for (const stream of this.#streams.all()) {
      const node = stream.session.hello?.node?.id;
      stream.dispatch({ type: "published", ...this.#targetOf(node) });
      if (stream.session.forked) void this.#place(stream);
    }
    this.#registry.announceHead();
  }

  /** Looks again whether a node's state is of this history: several control planes write one history, each at its pace. */
  async #place(stream: NodeStream): Promise<void> {
    const { acked } = stream.session;
    try {
      if (await this.host.isForked(acked)) return;
      if (cursorsEqual(stream.session.acked, acked))
        stream.dispatch({ type: "placed", forked: false });
    } catch (error) {
      this.#options.logger.error("node.history_unreadable", {
        node: stream.session.hello?.node?.id,
        err: error,
      });
    }
  }
}

function publishedOf(catalog: Catalog, needs: NeedIndex): Published {
  const { cursor, predecessors, snapshot } = catalog.head;
  return { head: cursor, predecessors, snapshot, needs: needs.needs };
}
