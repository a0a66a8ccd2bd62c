import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { createHash } from "node:crypto";
import { MissingNodeSchema } from "../../gen/holdfast/admin/v1/config_service_pb.js";
import {
  NodeRequestsSchema,
  NodeSchema,
  type Node,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Hello, Report } from "../../gen/holdfast/sync/v1/sync_pb.js";
import { cursorsEqual } from "../../model/cursor.ts";
import { missingFeatures } from "../../model/features.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import { nackClassName } from "../../sync/names.ts";
import { LIMITS } from "../../sync/limits.ts";
import { isLasting, type Session } from "../../sync/session.ts";
import type { Store } from "../store/store.ts";
import {
  applyTimingsOf,
  describeMissing,
  lastNackOf,
  reasonOf,
} from "./node-view.ts";
import {
  servesRevision,
  type LackingNodes,
  type NodeEvent,
  type WaitState,
} from "./nodes.ts";

/** A node that is gone still counts for waiting this long: it may be restarting. */
const COUNTED_AFTER_MS = 60_000;
/** A node that is gone this long is forgotten. */
const FORGOTTEN_AFTER_MS = 14 * 24 * 60 * 60 * 1000;
const FORGET_EVERY_MS = 60 * 60 * 1000;
/** Changes are written together, at most this often: a heartbeat must not cost a write. */
const FLUSH_MS = 2_000;
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
}

interface Entry {
  /** What outlives a session. `wanted`, `in_sync` and `reason` are computed when it is shown. */
  readonly node: Node;
  session: Session | undefined;
  /** When `last_seen` was last written. */
  savedSeenMs: number;
  /** When listeners last heard of counters. */
  countedMs: number;
  /** Which build and features the refused roots belong to. */
  refuser: string;
  refusedRoots: string[];
  /** Asked to try again while it was not connected: what it says it refused is then not believed once. */
  forgiven: boolean;
}

/** What the control plane knows of the nodes of one workspace; kept in the store. */
export class NodeRegistry implements AsyncDisposable {
  readonly #options: NodeRegistryOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  readonly #dirty = new Set<string>();
  readonly #removed = new Set<string>();
  #head: Cursor;
  #flushTimer: Timer | undefined;
  #forgetTimer: Timer | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(options: NodeRegistryOptions, head: Cursor) {
    this.#options = options;
    this.#head = head;
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
        registry.#dirty.add(node.id);
      }
      registry.#entries.set(node.id, newEntry(node));
    }
    registry.#forgetOld();
    return registry;
  }

  /** The state that nodes should serve from now on. */
  setHead(head: Cursor): void {
    this.#head = head;
    for (const entry of this.#entries.values()) this.#tell(entry);
  }

  /** Roots that this build of the node, with these features, is remembered to have refused. */
  refusedRoots(hello: Hello): readonly string[] {
    const entry = this.#entries.get(hello.node?.id ?? "");
    if (entry === undefined) return [];
    return entry.refuser === refuserOf(hello) ? entry.refusedRoots : [];
  }

  /** Whether somebody asked for another try since the node was last connected. Asking clears it. */
  takeForgiven(id: string): boolean {
    const entry = this.#entries.get(id);
    const forgiven = entry?.forgiven ?? false;
    if (entry !== undefined) entry.forgiven = false;
    return forgiven;
  }

  /** Whether a node may be taken in: it is known, or there is room, or somebody can be forgotten for it. */
  makeRoom(id: string): boolean {
    if (this.#entries.has(id) || this.#entries.size < MAX_NODES) return true;
    let oldest: Entry | undefined;
    for (const entry of this.#entries.values())
      if (!entry.node.connected && goneAt(entry) < goneAt(oldest))
        oldest = entry;
    if (oldest === undefined) return false;
    this.#forget(oldest);
    return true;
  }

  /** A node has said Hello. */
  join(hello: Hello, ip: string, session: Session): void {
    const info = hello.node;
    if (info === undefined) return;
    const nowMs = this.#options.clock.now();
    let entry = this.#entries.get(info.id);
    if (entry === undefined) {
      entry = newEntry(create(NodeSchema, { id: info.id }));
      this.#entries.set(info.id, entry);
      this.#removed.delete(info.id);
    }
    const { node } = entry;
    node.boot = info.boot;
    node.hostname = info.hostname;
    node.ip = ip;
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
    // A node that refused something before a restart of the control plane still knows why.
    const refusal = hello.refused.findLast(
      (known) => known.cursor?.root === this.#head.root,
    );
    if (refusal?.cursor !== undefined && session.refusedRoots.size > 0)
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
      if (nowMs - entry.savedSeenMs > SEEN_MS) this.#save(id);
    }
    if (!changed(before, session)) return;
    if (session.acked === undefined) delete node.serving;
    else node.serving = session.acked;
    if (
      session.lastNack !== undefined &&
      session.lastNack !== before?.lastNack
    ) {
      node.lastNack = lastNackOf(session.lastNack, nowMs);
      const { cursor, class: nackClass } = session.lastNack;
      if (cursor !== undefined && isLasting(nackClass))
        entry.refusedRoots = [
          ...entry.refusedRoots.filter((root) => root !== cursor.root),
          cursor.root,
        ].slice(-LIMITS.refusals);
    }
    if (session.lastAck !== undefined && session.lastAck !== before?.lastAck) {
      delete node.lastNack;
      const sentMs = before?.inFlight?.sentMs ?? session.seenMs;
      node.lastApply = applyTimingsOf(
        session.lastAck.timings,
        session.seenMs - sentMs,
      );
    }
    node.missingFeatures = [...session.missing, ...session.degraded].map(
      describeMissing,
    );
    this.#save(id);
    this.#tell(entry);
  }

  /** The node has said how it is doing. */
  report(id: string, report: Report): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || report.counters.length === 0) return;
    const { node } = entry;
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
    this.#save(id);
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
    this.#save(id);
    this.#tell(entry);
  }

  /** Forgets what a node refused. Returns whether there is such a node. */
  forgive(id: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    entry.refusedRoots = [];
    entry.forgiven = entry.session === undefined;
    return true;
  }

  list(): Node[] {
    return [...this.#entries.values()]
      .map((entry) => this.#show(entry))
      .sort((a, b) => compare(a.hostname, b.hostname) || compare(a.id, b.id));
  }

  get(id: string): Node | undefined {
    const entry = this.#entries.get(id);
    return entry && this.#show(entry);
  }

  /** How long the steps of the node's last apply took. */
  lastApply(id: string): Node["lastApply"] {
    return this.#entries.get(id)?.node.lastApply;
  }

  onChange(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  waiting(revision: bigint): WaitState {
    const nowMs = this.#options.clock.now();
    const state: WaitState = {
      serving: 0,
      total: 0,
      refused: false,
      missing: [],
    };
    for (const entry of this.#entries.values()) {
      const { node, session } = entry;
      const goneMs =
        node.disconnectedAt === undefined
          ? Infinity
          : nowMs - timestampMs(node.disconnectedAt);
      if (!node.connected && goneMs > COUNTED_AFTER_MS) continue;
      state.total++;
      if (servesRevision(node.serving, this.#head, revision)) {
        state.serving++;
        continue;
      }
      if (
        session !== undefined &&
        (session.missing.length > 0 ||
          session.refusedRoots.has(session.head.root)) &&
        session.head.revision >= revision
      )
        state.refused = true;
      state.missing.push(
        create(MissingNodeSchema, {
          id: node.id,
          hostname: node.hostname,
          reason: reasonOf(node, session, this.#head),
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
      const nodes = [...this.#entries.values()]
        .filter(
          ({ session }) =>
            session?.hello !== undefined &&
            missingFeatures([feature], session.hello.features).length > 0,
        )
        .map(({ node }) => node.id);
      return nodes.length === 0 ? [] : [{ feature, nodes }];
    });
  }

  /** Writes what is not written yet. */
  flush(): Promise<void> {
    // Never rejects: what could not be written is said, and tried again.
    this.#flushing = this.#flushing
      .then(() => this.#write())
      .catch((error: unknown) => {
        this.#options.logger.error("nodes.not_saved", { err: error });
      });
    return this.#flushing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#flushTimer?.cancel();
    this.#forgetTimer?.cancel();
    await this.flush();
  }

  #show(entry: Entry): Node {
    const node = clone(NodeSchema, entry.node);
    node.wanted = this.#head;
    node.inSync = node.connected && cursorsEqual(node.serving, this.#head);
    node.reason = reasonOf(entry.node, entry.session, this.#head);
    return node;
  }

  #tell(entry: Entry, removed = false): void {
    if (this.#listeners.size === 0) return;
    const event = { node: this.#show(entry), removed };
    for (const listener of this.#listeners) listener(event);
  }

  #save(id: string): void {
    this.#dirty.add(id);
    if (this.#closed) return;
    this.#flushTimer ??= this.#options.clock.setTimer(FLUSH_MS, () => {
      this.#flushTimer = undefined;
      void this.flush();
    });
  }

  async #write(): Promise<void> {
    if (this.#dirty.size === 0 && this.#removed.size === 0) return;
    const ids = [...this.#dirty];
    const removed = [...this.#removed];
    this.#dirty.clear();
    this.#removed.clear();
    const nowMs = this.#options.clock.now();
    try {
      const records = ids.flatMap((id) => {
        const entry = this.#entries.get(id);
        if (entry === undefined) return [];
        entry.savedSeenMs = nowMs;
        return [{ id, data: toBinary(NodeSchema, entry.node) }];
      });
      await this.#options.store.saveNodes(
        this.#options.workspace,
        records,
        removed,
      );
    } catch (error) {
      // Nothing is lost that the nodes do not tell again.
      this.#options.logger.warn("nodes.not_saved", { err: error });
      for (const id of removed) this.#removed.add(id);
      for (const id of ids) this.#save(id);
    }
  }

  #forget(entry: Entry): void {
    const { id } = entry.node;
    this.#entries.delete(id);
    this.#dirty.delete(id);
    this.#removed.add(id);
    this.#tell(entry, true);
  }

  #forgetOld(): void {
    const nowMs = this.#options.clock.now();
    for (const entry of this.#entries.values()) {
      const gone = entry.node.disconnectedAt;
      if (entry.node.connected || gone === undefined) continue;
      if (nowMs - timestampMs(gone) < FORGOTTEN_AFTER_MS) continue;
      this.#forget(entry);
    }
    if (!this.#closed)
      this.#forgetTimer = this.#options.clock.setTimer(FORGET_EVERY_MS, () => {
        this.#forgetOld();
        void this.flush();
      });
  }
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
    savedSeenMs: 0,
    countedMs: -Infinity,
    refuser: "",
    refusedRoots: [],
    forgiven: false,
  };
}

/** Another build, or other features, may be able to apply what was refused. */
function refuserOf(hello: Hello): string {
  const hash = createHash("sha256").update(`${hello.node?.build ?? ""}\0`);
  const features = hello.features.map((f) => `${f.name}@${f.version}`);
  return hash.update(features.sort().join("\0")).digest("hex");
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
    before.refusedRoots !== after.refusedRoots
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
