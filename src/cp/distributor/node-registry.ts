import { clone } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  NodeSchema,
  type Node,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Hello, Report } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual } from "../../model/cursor.ts";
import { ConfigError } from "../../model/violation.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Session } from "../../sync/session/state.ts";
import type { Store } from "../store/store.ts";
import {
  figuresOf,
  lackingOf,
  waitingFor,
  type Census,
  type NodeFigures,
} from "./node-census.ts";
import {
  byPlace,
  hasLabels,
  refuserOf,
  withApply,
  type Entry,
} from "./node-entry.ts";
import { changed, count, greeted, isRoutine, moved } from "./node-news.ts";
import { NodeTable } from "./node-table.ts";
import {
  conditionsOf,
  progressOf,
  reasonOf,
  type PeerView,
} from "./node-view.ts";
import type { LackingNodes, NodeEvent, NodePlace, WaitState } from "./nodes.ts";
import type { Hold } from "./rollout.ts";

/** `last_seen` alone is worth a write only this often. */
const SEEN_MS = 60_000;
/** Listeners hear of a node's counters at most this often. */
const COUNTED_MS = 1_000;

export interface NodeRegistryOptions {
  readonly workspace: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What keeps a node from following the head. Default: nothing does. */
  readonly holdOf?: (id: string) => Hold | undefined;
}

/** What the control plane knows of the nodes of one workspace; kept in the store. */
export class NodeRegistry implements AsyncDisposable {
  readonly #options: NodeRegistryOptions;
  readonly #table: NodeTable;
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  #head: Cursor;

  private constructor(
    options: NodeRegistryOptions,
    table: NodeTable,
    head: Cursor,
  ) {
    this.#options = options;
    this.#table = table;
    this.#head = head;
    table.onRemoved((entry) => {
      this.#tell(entry, true);
    });
  }

  /** Reads the nodes known so far; none of them is connected. */
  static async open(
    options: NodeRegistryOptions,
    head: Cursor,
  ): Promise<NodeRegistry> {
    const table = await NodeTable.open({
      ...options,
      isPinned: (id) => options.holdOf?.(id)?.type === "pinned",
    });
    return new NodeRegistry(options, table, head);
  }

  /** The state that nodes should serve from now on. */
  setHead(head: Cursor): void {
    this.#head = head;
  }

  /** Tells those who listen that every node may be seen differently now. */
  announceHead(): void {
    if (this.#listeners.size === 0) return;
    for (const entry of this.#table.all()) this.#tell(entry);
  }

  /** Roots that this build of the node, with these features, is remembered to have refused. */
  refusedRoots(hello: Hello): readonly string[] {
    const entry = this.#table.get(hello.node?.id ?? "");
    if (entry === undefined) return [];
    return entry.refuser === refuserOf(hello) && !entry.node.retryPending
      ? entry.refusedRoots
      : [];
  }

  /** Whether somebody asked for another try that the node has not answered. */
  isForgiven(id: string): boolean {
    return this.#table.get(id)?.node.retryPending ?? false;
  }

  /** Whether a node may be taken in: it is known, or there is room, or somebody can be forgotten for it. */
  makeRoom(id: string): boolean {
    return this.#table.makeRoom(id);
  }

  /** A node has said Hello. */
  join(hello: Hello, peer: PeerView, session: Session): void {
    const info = hello.node;
    if (info === undefined) return;
    const nowMs = this.#options.clock.now();
    greeted(this.#table.enter(info.id), hello, {
      peer,
      session,
      workspace: this.#options.workspace,
      nowMs,
    });
    this.observe(info.id, session);
  }

  /** The node's session has moved on. */
  observe(id: string, session: Session): void {
    const entry = this.#table.get(id);
    if (entry === undefined) return;
    const before = entry.session;
    entry.session = session;
    const { node } = entry;
    const nowMs = this.#options.clock.now();
    if (session.seenMs !== before?.seenMs) {
      node.lastSeen = timestampFromMs(nowMs);
      if (nowMs - entry.savedSeenMs > SEEN_MS)
        this.#table.save(id, { routine: true });
    }
    if (!changed(before, session)) return;
    moved(entry, before, session, nowMs);
    this.#table.save(id, { routine: isRoutine(before, session) });
    this.#tell(entry);
  }

  /** The node has said how it is doing. */
  report(id: string, report: Report): void {
    const entry = this.#table.get(id);
    if (entry === undefined) return;
    const { node, session } = entry;
    const progress = progressOf(report, session?.inFlight);
    const isNews = progress !== undefined || node.progress !== undefined;
    if (progress === undefined) delete node.progress;
    else node.progress = progress;
    if (report.counters.length === 0 && !isNews) return;
    count(node, report);
    this.#table.save(id);
    // Of counters people need not hear as often as a node likes to report.
    const nowMs = this.#options.clock.monotonic();
    if (nowMs - entry.countedMs < COUNTED_MS) return;
    entry.countedMs = nowMs;
    this.#tell(entry);
  }

  /** The node's stream has ended. */
  leave(id: string): void {
    const entry = this.#table.get(id);
    if (entry === undefined) return;
    entry.session = undefined;
    entry.node.connected = false;
    entry.node.disconnectedAt = timestampFromMs(this.#options.clock.now());
    entry.node.missingFeatures = [];
    delete entry.node.progress;
    this.#table.save(id);
    this.#tell(entry);
  }

  /** Forgets what a node refused. Returns whether there is such a node. */
  forgive(id: string): boolean {
    const entry = this.#table.get(id);
    if (entry === undefined) return false;
    entry.refusedRoots = [];
    // Until it has answered: its stream may be dead already, and this process may be restarted before it is back.
    entry.node.retryPending = true;
    this.#table.save(id);
    void this.flush();
    return true;
  }

  /** Lets a node follow an epoch whatever it loses by it, once. Returns whether there is such a node. */
  allow(id: string, epoch: string): boolean {
    const entry = this.#table.get(id);
    if (entry === undefined) return false;
    entry.node.allowedEpoch = epoch;
    this.#table.save(id);
    // It may be restarted before the node is there.
    void this.flush();
    this.#tell(entry);
    return true;
  }

  /** Whether somebody has allowed a node to follow this epoch and it has not yet. */
  isAllowed(id: string, epoch: string): boolean {
    return this.#table.get(id)?.node.allowedEpoch === epoch;
  }

  /** Drops a node that has no stream. Undefined: there is no such node. */
  forget(id: string): "forgotten" | "connected" | undefined {
    const entry = this.#table.get(id);
    if (entry === undefined) return undefined;
    if (entry.session !== undefined) return "connected";
    this.#table.remove(entry);
    return "forgotten";
  }

  /** The ids of the nodes that have all of these labels. */
  labelled(labels: Readonly<Record<string, string>>): readonly string[] {
    return [...this.#table.all()]
      .filter(({ node }) => hasLabels(node, labels))
      .map(({ node }) => node.id);
  }

  /**
   * Refuses to keep nodes at a state that one of them is past.
   *
   * @throws ConfigError which names all of them.
   */
  refusePast(ids: readonly string[], cursor: Cursor): void {
    const violations = ids.flatMap((id) => {
      const serving = this.#table.get(id)?.node.serving;
      return serving?.epoch === cursor.epoch &&
        serving.revision > cursor.revision
        ? [
            {
              kind: "node",
              name: id,
              field: "revision",
              reason: `serves revision ${serving.revision}, and a node does not go back to ${cursor.revision}. To bring that content back: holdfast rollback ${cursor.revision}, then pin to the revision that this makes`,
            },
          ]
        : [];
    });
    if (violations.length > 0)
      throw ConfigError.of("failed_precondition", violations);
  }

  list(after?: NodePlace, limit = Infinity): Node[] {
    // In order before they are shown: showing one costs more than sorting many.
    return [...this.#table.all()]
      .filter(({ node }) => after === undefined || byPlace(after, node) < 0)
      .sort((a, b) => byPlace(a.node, b.node))
      .slice(0, limit)
      .map((entry) => this.#show(entry));
  }

  get(id: string): Node | undefined {
    const entry = this.#table.get(id);
    return entry && this.#show(entry);
  }

  /** From sending the node its last state to its Ack, in milliseconds. */
  roundTripMs(id: string): number | undefined {
    return this.#table.get(id)?.lastApply?.roundTripMs;
  }

  /** Counts for metrics, without showing every node. */
  figures(): NodeFigures {
    return figuresOf(this.#census());
  }

  onChange(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  waiting(
    revision: bigint,
    labels: Readonly<Record<string, string>> = {},
  ): WaitState {
    const nowMs = this.#options.clock.now();
    return waitingFor(this.#census(), nowMs, revision, labels);
  }

  unsupportedBy(
    features: readonly { readonly name: string; readonly version: number }[],
  ): LackingNodes[] {
    return lackingOf({ entries: [...this.#table.all()] }, features);
  }

  /** Writes what is not written yet. */
  flush(): Promise<void> {
    return this.#table.flush();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#table[Symbol.asyncDispose]();
  }

  #census(): Census {
    return {
      entries: this.#table.all(),
      head: this.#head,
      holdOf: (id) => this.#holdOf(id),
    };
  }

  #holdOf(id: string): Hold | undefined {
    return this.#options.holdOf?.(id);
  }

  #show(entry: Entry): Node {
    const node = clone(NodeSchema, withApply(entry));
    const hold = this.#holdOf(node.id);
    node.wanted = hold?.cursor ?? this.#head;
    node.inSync = node.connected && cursorsEqual(node.serving, this.#head);
    node.reason = reasonOf(entry.node, entry.session, this.#head, hold);
    node.conditions = [
      ...conditionsOf(entry.node, entry.session, this.#head, hold),
    ];
    if (hold?.type === "pinned") node.pinnedRevision = hold.cursor.revision;
    node.paused = hold?.type === "paused";
    return node;
  }

  #tell(entry: Entry, removed = false): void {
    if (this.#listeners.size === 0) return;
    const show = (): Node => this.#show(entry);
    let shown: Node | undefined;
    const event: NodeEvent = {
      id: entry.node.id,
      workspace: entry.node.workspace,
      removed,
      get node() {
        return (shown ??= show());
      },
    };
    for (const listener of this.#listeners) listener(event);
  }
}
