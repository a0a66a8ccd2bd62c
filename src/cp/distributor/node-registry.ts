import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { createHash } from "node:crypto";
import {
  MissingNodeSchema,
  type MissingNode,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import {
  NodeRequestsSchema,
  NodeSchema,
  type Node,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import {
  NackClass,
  type Hello,
  type Report,
  type Timings,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual } from "../../model/cursor.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { nackClassName } from "../../sync/names.ts";
import { degradedOf, missingOf } from "../../sync/features.ts";
import { LIMITS } from "../../sync/limits.ts";
import { isLasting } from "../../sync/session/greeting.ts";
import { presentEpoch } from "../../sync/session/limit.ts";
import type { Session } from "../../sync/session/state.ts";
import type { Store } from "../store/store.ts";
import { ConfigError } from "../../model/violation.ts";
import { NodeSaver } from "./node-saver.ts";
import {
  applyTimingsOf,
  certificateOf,
  conditionsOf,
  describeMissing,
  ipOf,
  isBlocked,
  lastNackOf,
  progressOf,
  reasonOf,
  type PeerView,
} from "./node-view.ts";
import type { Hold } from "./rollout.ts";
import {
  servesRevision,
  type LackingNodes,
  type NodeEvent,
  type NodePlace,
  type WaitState,
} from "./nodes.ts";

/** A node that is gone still counts for waiting this long: it may be restarting. */
const COUNTED_AFTER_MS = 60_000;
/** A node that is gone this long is forgotten. */
const FORGOTTEN_AFTER_MS = 14 * 24 * 60 * 60 * 1000;
const FORGET_EVERY_MS = 60 * 60 * 1000;
/** `last_seen` alone is worth a write only this often. */
const SEEN_MS = 60_000;
const REQUEST_REVISIONS = 16;
/** Listeners hear of a node's counters at most this often. */
const COUNTED_MS = 1_000;
/** Nodes that are known at a time. Beyond it the one that was gone longest is forgotten. */
const MAX_NODES = 10_000;

export interface NodeRegistryOptions {
  readonly workspace: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What keeps a node from following the head. Default: nothing does. */
  readonly holdOf?: (id: string) => Hold | undefined;
}

/** What metrics tell of the nodes. */
export interface NodeFigures {
  readonly known: number;
  readonly inSync: number;
  /** Connected nodes that lack a feature the head needs. */
  readonly lacking: number;
  /** When the first of the connected nodes' certificates expires: milliseconds since the Unix epoch, 0 without any. */
  readonly firstExpiryMs: number;
  /** How many nodes have each condition that any has. */
  readonly conditions: ReadonlyMap<string, number>;
}

interface Entry {
  /** What outlives a session. `wanted`, `in_sync` and `reason` are computed when it is shown. */
  readonly node: Node;
  session: Session | undefined;
  /** How the last apply went. Made into what people read only when they do: there is one with every change. */
  lastApply:
    | { readonly timings: Timings | undefined; readonly roundTripMs: number }
    | undefined;
  /** When `last_seen` was last written. */
  savedSeenMs: number;
  /** When listeners last heard of counters. */
  countedMs: number;
  /** Which build and features the refused roots belong to. */
  refuser: string;
  refusedRoots: string[];
}

/** What the control plane knows of the nodes of one workspace; kept in the store. */
export class NodeRegistry implements AsyncDisposable {
  readonly #options: NodeRegistryOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  readonly #saver: NodeSaver;
  #head: Cursor;
  #forgetTimer: Timer | undefined;
  #closed = false;

  private constructor(options: NodeRegistryOptions, head: Cursor) {
    this.#options = options;
    this.#head = head;
    this.#saver = new NodeSaver({
      ...options,
      encode: (id) => {
        const entry = this.#entries.get(id);
        if (entry === undefined) return undefined;
        entry.savedSeenMs = options.clock.now();
        return toBinary(NodeSchema, withApply(entry));
      },
    });
  }

  /** Reads the nodes known so far; none of them is connected. */
  static async open(
    options: NodeRegistryOptions,
    head: Cursor,
  ): Promise<NodeRegistry> {
    const registry = new NodeRegistry(options, head);
    for (const record of await options.store.loadNodes(options.workspace)) {
      const node = fromBinary(NodeSchema, record.data);
      if (node.connected) {
        node.connected = false;
        // The control plane died with the node connected. It is about to be back: it counts for waiting from now on.
        node.disconnectedAt = timestampFromMs(options.clock.now());
        registry.#saver.save(node.id);
      }
      registry.#entries.set(node.id, newEntry(node));
    }
    registry.#forgetOld();
    return registry;
  }

  /** The state that nodes should serve from now on. */
  setHead(head: Cursor): void {
    this.#head = head;
  }

  /** Tells those who listen that every node may be seen differently now. */
  announceHead(): void {
    if (this.#listeners.size === 0) return;
    for (const entry of this.#entries.values()) this.#tell(entry);
  }

  /** Roots that this build of the node, with these features, is remembered to have refused. */
  refusedRoots(hello: Hello): readonly string[] {
    const entry = this.#entries.get(hello.node?.id ?? "");
    if (entry === undefined) return [];
    return entry.refuser === refuserOf(hello) && !entry.node.retryPending
      ? entry.refusedRoots
      : [];
  }

  /** Whether somebody asked for another try that the node has not answered. */
  isForgiven(id: string): boolean {
    return this.#entries.get(id)?.node.retryPending ?? false;
  }

  /** Whether a node may be taken in: it is known, or there is room, or somebody can be forgotten for it. */
  makeRoom(id: string): boolean {
    if (this.#entries.has(id) || this.#entries.size < MAX_NODES) return true;
    let oldest: Entry | undefined;
    for (const entry of this.#entries.values())
      if (
        !entry.node.connected &&
        !this.#isPinned(entry) &&
        goneAt(entry) < goneAt(oldest)
      )
        oldest = entry;
    if (oldest === undefined) return false;
    this.#forget(oldest);
    return true;
  }

  /** A node has said Hello. */
  join(hello: Hello, peer: PeerView, session: Session): void {
    const info = hello.node;
    if (info === undefined) return;
    const nowMs = this.#options.clock.now();
    let entry = this.#entries.get(info.id);
    if (entry === undefined) {
      entry = newEntry(create(NodeSchema, { id: info.id }));
      this.#entries.set(info.id, entry);
    }
    const { node } = entry;
    node.boot = info.boot;
    node.hostname = info.hostname;
    node.ip = ipOf(peer.address);
    if (peer.certificate === undefined) delete node.certificate;
    else node.certificate = certificateOf(peer.certificate);
    node.build = info.build;
    node.labels = { ...info.labels };
    node.workspace = this.#options.workspace;
    node.connected = true;
    node.connectedAt = timestampFromMs(nowMs);
    delete node.disconnectedAt;
    node.lastSeen = timestampFromMs(nowMs);
    const refuser = refuserOf(hello);
    if (entry.refuser !== refuser) {
      entry.refuser = refuser;
      entry.refusedRoots = [];
    }
    // A node that refused something before a restart of the control plane, or before its own, still knows why.
    const refusal = hello.refused.findLast(
      (known) =>
        known.cursor?.root === session.head.root ||
        known.class === NackClass.CRASHED,
    );
    if (refusal?.cursor !== undefined)
      node.lastNack = create(NodeSchema, {
        lastNack: {
          class: nackClassName(refusal.class),
          cursor: refusal.cursor,
          at: node.lastNack?.at ?? timestampFromMs(nowMs),
          violations: refusal.violations.map(({ key, field, reason }) => ({
            key,
            field,
            reason,
          })),
        },
      }).lastNack;
    this.observe(info.id, session);
  }

  /** The node's session has moved on. */
  observe(id: string, session: Session): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const before = entry.session;
    entry.session = session;
    const { node } = entry;
    const nowMs = this.#options.clock.now();
    if (session.seenMs !== before?.seenMs) {
      node.lastSeen = timestampFromMs(nowMs);
      if (nowMs - entry.savedSeenMs > SEEN_MS)
        this.#saver.save(id, { routine: true });
    }
    if (!changed(before, session)) return;
    if (session.acked === undefined) delete node.serving;
    else node.serving = session.acked;
    if (
      session.lastNack !== undefined &&
      session.lastNack !== before?.lastNack
    ) {
      node.lastNack = lastNackOf(session.lastNack, nowMs);
      node.retryPending = false;
      const { cursor, class: nackClass } = session.lastNack;
      if (cursor !== undefined && isLasting(nackClass))
        entry.refusedRoots = [
          ...entry.refusedRoots.filter((root) => root !== cursor.root),
          cursor.root,
        ].slice(-LIMITS.refusals);
    }
    if (session.lastAck !== undefined && session.lastAck !== before?.lastAck) {
      delete node.lastNack;
      if (session.acked !== undefined) node.acknowledged = session.acked;
      node.retryPending = false;
      const sentMs = before?.inFlight?.sentMs ?? session.seenMs;
      entry.lastApply = {
        timings: session.lastAck.timings,
        roundTripMs: session.seenMs - sentMs,
      };
    }
    // Used up, by following or by holding back all the same.
    if (
      before?.allowed === true &&
      !session.allowed &&
      presentEpoch(before) === presentEpoch(session)
    )
      node.allowedEpoch = "";
    if (session.inFlight?.seq !== before?.inFlight?.seq) delete node.progress;
    node.missingFeatures = [...session.missing, ...session.degraded].map(
      describeMissing,
    );
    this.#saver.save(id, { routine: isRoutine(before, session) });
    this.#tell(entry);
  }

  /** The node has said how it is doing. */
  report(id: string, report: Report): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const { node, session } = entry;
    const progress = progressOf(report, session?.inFlight);
    const isNews = progress !== undefined || node.progress !== undefined;
    if (progress === undefined) delete node.progress;
    else node.progress = progress;
    if (report.counters.length === 0 && !isNews) return;
    const byRevision = new Map(node.requests.map((r) => [r.revision, r]));
    for (const { revision, requests, errors } of report.counters) {
      const known = byRevision.get(revision);
      if (known === undefined)
        byRevision.set(
          revision,
          create(NodeRequestsSchema, { revision, requests, errors }),
        );
      else {
        known.requests = sum(known.requests, requests);
        known.errors = sum(known.errors, errors);
      }
    }
    node.requests = [...byRevision.values()]
      .sort((a, b) => Number(b.revision - a.revision))
      .slice(0, REQUEST_REVISIONS);
    this.#saver.save(id);
    // Of counters people need not hear as often as a node likes to report.
    const nowMs = this.#options.clock.monotonic();
    if (nowMs - entry.countedMs < COUNTED_MS) return;
    entry.countedMs = nowMs;
    this.#tell(entry);
  }

  /** The node's stream has ended. */
  leave(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.session = undefined;
    entry.node.connected = false;
    entry.node.disconnectedAt = timestampFromMs(this.#options.clock.now());
    entry.node.missingFeatures = [];
    delete entry.node.progress;
    this.#saver.save(id);
    this.#tell(entry);
  }

  /** Forgets what a node refused. Returns whether there is such a node. */
  forgive(id: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    entry.refusedRoots = [];
    // Until it has answered: its stream may be dead already, and this process may be restarted before it is back.
    entry.node.retryPending = true;
    this.#saver.save(id);
    void this.flush();
    return true;
  }

  /** Lets a node follow an epoch whatever it loses by it, once. Returns whether there is such a node. */
  allow(id: string, epoch: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    entry.node.allowedEpoch = epoch;
    this.#saver.save(id);
    // It may be restarted before the node is there.
    void this.flush();
    this.#tell(entry);
    return true;
  }

  /** Whether somebody has allowed a node to follow this epoch and it has not yet. */
  isAllowed(id: string, epoch: string): boolean {
    return this.#entries.get(id)?.node.allowedEpoch === epoch;
  }

  /** Drops a node that has no stream. Undefined: there is no such node. */
  forget(id: string): "forgotten" | "connected" | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    if (entry.session !== undefined) return "connected";
    this.#forget(entry);
    return "forgotten";
  }

  /** The ids of the nodes that have all of these labels. */
  labelled(labels: Readonly<Record<string, string>>): readonly string[] {
    return [...this.#entries.values()]
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
      const serving = this.#entries.get(id)?.node.serving;
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
    return [...this.#entries.values()]
      .filter(({ node }) => after === undefined || byPlace(after, node) < 0)
      .sort((a, b) => byPlace(a.node, b.node))
      .slice(0, limit)
      .map((entry) => this.#show(entry));
  }

  get(id: string): Node | undefined {
    const entry = this.#entries.get(id);
    return entry && this.#show(entry);
  }

  /** From sending the node its last state to its Ack, in milliseconds. */
  roundTripMs(id: string): number | undefined {
    return this.#entries.get(id)?.lastApply?.roundTripMs;
  }

  /** Counts for metrics, without showing every node. */
  figures(): NodeFigures {
    const conditions = new Map<string, number>();
    const figures = { known: 0, inSync: 0, lacking: 0, firstExpiryMs: 0 };
    for (const { node, session } of this.#entries.values()) {
      figures.known++;
      if (node.connected && cursorsEqual(node.serving, this.#head))
        figures.inSync++;
      if (node.missingFeatures.length > 0) figures.lacking++;
      const expiresAt = node.connected && node.certificate?.expiresAt;
      if (expiresAt) {
        const atMs = timestampMs(expiresAt);
        if (figures.firstExpiryMs === 0 || atMs < figures.firstExpiryMs)
          figures.firstExpiryMs = atMs;
      }
      for (const name of conditionsOf(
        node,
        session,
        this.#head,
        this.#holdOf(node.id),
      ))
        conditions.set(name, (conditions.get(name) ?? 0) + 1);
    }
    return { ...figures, conditions };
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
    const state = {
      serving: 0,
      total: 0,
      refusing: 0,
      heldBack: 0,
      missing: [] as MissingNode[],
    };
    for (const entry of this.#entries.values()) {
      const { node, session } = entry;
      const goneMs =
        node.disconnectedAt === undefined
          ? Infinity
          : nowMs - timestampMs(node.disconnectedAt);
      if (!node.connected && goneMs > COUNTED_AFTER_MS) continue;
      if (!hasLabels(node, labels)) continue;
      state.total++;
      if (
        session?.forked !== true &&
        servesRevision(node.serving, this.#head, revision)
      ) {
        state.serving++;
        continue;
      }
      const hold = this.#holdOf(node.id);
      if (hold !== undefined && !leadsTo(hold, this.#head, revision))
        state.heldBack++;
      else if (
        session !== undefined &&
        isBlocked(session) &&
        session.head.revision >= revision
      )
        state.refusing++;
      state.missing.push(
        create(MissingNodeSchema, {
          id: node.id,
          hostname: node.hostname,
          reason: reasonOf(node, session, this.#head, hold),
          ...(node.serving === undefined ? {} : { serving: node.serving }),
        }),
      );
    }
    return state;
  }

  unsupportedBy(
    features: readonly { readonly name: string; readonly version: number }[],
  ): LackingNodes[] {
    return features.flatMap((feature) => {
      const need = [{ ...feature, keys: [] }];
      const lacking = (of: typeof missingOf): string[] =>
        [...this.#entries.values()]
          .filter(
            ({ session }) =>
              session?.hello !== undefined &&
              of(need, session.hello.features).length > 0,
          )
          .map(({ node }) => node.id);
      return [
        { feature, refusing: true, nodes: lacking(missingOf) },
        { feature, refusing: false, nodes: lacking(degradedOf) },
      ].filter(({ nodes }) => nodes.length > 0);
    });
  }

  /** Writes what is not written yet. */
  flush(): Promise<void> {
    return this.#saver.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#forgetTimer?.cancel();
    await this.#saver[Symbol.asyncDispose]();
  }

  #holdOf(id: string): Hold | undefined {
    return this.#options.holdOf?.(id);
  }

  /** A node that somebody has pinned is not forgotten by itself: it would come back and follow the head. */
  #isPinned({ node }: Entry): boolean {
    return this.#holdOf(node.id)?.type === "pinned";
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

  #forget(entry: Entry): void {
    const { id } = entry.node;
    this.#entries.delete(id);
    this.#saver.remove(id);
    this.#tell(entry, true);
  }

  #forgetOld(): void {
    const nowMs = this.#options.clock.now();
    for (const entry of this.#entries.values()) {
      const gone = entry.node.disconnectedAt;
      if (entry.node.connected || gone === undefined) continue;
      if (nowMs - timestampMs(gone) < FORGOTTEN_AFTER_MS) continue;
      if (this.#isPinned(entry)) continue;
      this.#forget(entry);
    }
    if (!this.#closed)
      this.#forgetTimer = this.#options.clock.setTimer(FORGET_EVERY_MS, () => {
        this.#forgetOld();
        void this.flush();
      });
  }
}

function withApply({ node, lastApply }: Entry): Node {
  if (lastApply !== undefined)
    node.lastApply = applyTimingsOf(lastApply.timings, lastApply.roundTripMs);
  return node;
}

/** Whether a node that is kept at a state will serve a revision all the same. */
function leadsTo(
  { cursor, reachable }: Hold,
  head: Cursor,
  revision: bigint,
): boolean {
  return reachable && servesRevision(cursor, head, revision);
}

function hasLabels(
  node: Node,
  labels: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(labels).every(
    ([name, value]) => node.labels[name] === value,
  );
}

/** When a node's stream ended; later than any when it has not. */
function goneAt(entry: Entry | undefined): number {
  const at = entry?.node.disconnectedAt;
  return at === undefined ? Infinity : timestampMs(at);
}

/** Counters are whatever nodes say: their sum must still be one that can be written. */
function sum(a: bigint, b: bigint): bigint {
  const total = a + b;
  return total > MAX_COUNT ? MAX_COUNT : total;
}

const MAX_COUNT = 0xffff_ffff_ffff_ffffn;

function newEntry(node: Node): Entry {
  return {
    node,
    session: undefined,
    lastApply: undefined,
    savedSeenMs: 0,
    countedMs: -Infinity,
    refuser: "",
    refusedRoots: [],
  };
}

/** Another build, or other features, may be able to apply what was refused. */
function refuserOf(hello: Hello): string {
  const hash = createHash("sha256").update(`${hello.node?.build ?? ""}\0`);
  const features = hello.features.map((f) => `${f.name}@${f.version}`);
  return hash.update(features.sort().join("\0")).digest("hex");
}

/** Whether a node has just been sent a state, or taken one up, as all nodes do with every change. */
function isRoutine(before: Session | undefined, after: Session): boolean {
  return (
    before?.at === after.at &&
    before.acked !== undefined &&
    before.lastNack === after.lastNack &&
    before.missing === after.missing &&
    before.degraded === after.degraded &&
    before.refusedRoots === after.refusedRoots &&
    before.forked === after.forked &&
    before.held === after.held &&
    before.allowed === after.allowed
  );
}

/** Whether anything that people are shown is different. */
function changed(before: Session | undefined, after: Session): boolean {
  return (
    before?.at !== after.at ||
    before.acked !== after.acked ||
    before.inFlight?.seq !== after.inFlight?.seq ||
    before.inFlight?.parked !== after.inFlight?.parked ||
    before.lastNack !== after.lastNack ||
    before.missing !== after.missing ||
    before.degraded !== after.degraded ||
    before.refusedRoots !== after.refusedRoots ||
    before.forked !== after.forked ||
    before.held !== after.held ||
    before.allowed !== after.allowed
  );
}

function byPlace(a: NodePlace, b: NodePlace): number {
  return compare(a.hostname, b.hostname) || compare(a.id, b.id);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
