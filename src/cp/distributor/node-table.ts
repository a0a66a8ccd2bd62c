import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { NodeSchema } from "../../gen/holdfast/admin/v1/node_service_pb.js";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Store } from "../store/store.ts";
import { goneAt, newEntry, withApply, type Entry } from "./node-entry.ts";
import { NodeSaver } from "./node-saver.ts";

/** A node that is gone this long is forgotten. */
const FORGOTTEN_AFTER_MS = 14 * 24 * 60 * 60 * 1000;
const FORGET_EVERY_MS = 60 * 60 * 1000;
/** Nodes that are known at a time. Beyond it the one that was gone longest is forgotten. */
const MAX_NODES = 10_000;

export interface NodeTableOptions {
  readonly workspace: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether somebody has pinned a node: it is not forgotten by itself, or it would come back and follow the head. */
  readonly isPinned: (id: string) => boolean;
}

/** The nodes of one workspace that are known, as many as may be and for as long; kept in the store. */
export class NodeTable implements AsyncDisposable {
  readonly #options: NodeTableOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #saver: NodeSaver;
  #removed: (entry: Entry) => void = () => undefined;
  #timer: Timer | undefined;
  #closed = false;

  private constructor(options: NodeTableOptions) {
    this.#options = options;
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
  static async open(options: NodeTableOptions): Promise<NodeTable> {
    const table = new NodeTable(options);
    for (const record of await options.store.loadNodes(options.workspace)) {
      const node = fromBinary(NodeSchema, record.data);
      if (node.connected) {
        node.connected = false;
        // The control plane died with the node connected. It is about to be back: it counts for waiting from now on.
        node.disconnectedAt = timestampFromMs(options.clock.now());
        table.#saver.save(node.id);
      }
      table.#entries.set(node.id, newEntry(node));
    }
    table.#forgetOld();
    return table;
  }

  /** Tells of every node that is forgotten from now on. */
  onRemoved(listener: (entry: Entry) => void): void {
    this.#removed = listener;
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  all(): MapIterator<Entry> {
    return this.#entries.values();
  }

  /** A node that nothing else is known of yet, unless it is known. */
  enter(id: string): Entry {
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = newEntry(create(NodeSchema, { id }));
      this.#entries.set(id, entry);
    }
    return entry;
  }

  /** Whether a node may be taken in: it is known, or there is room, or somebody can be forgotten for it. */
  makeRoom(id: string): boolean {
    if (this.#entries.has(id) || this.#entries.size < MAX_NODES) return true;
    let oldest: Entry | undefined;
    for (const entry of this.#entries.values())
      if (
        !entry.node.connected &&
        !this.#options.isPinned(entry.node.id) &&
        goneAt(entry) < goneAt(oldest)
      )
        oldest = entry;
    if (oldest === undefined) return false;
    this.remove(oldest);
    return true;
  }

  /** A node has changed; or has done what all nodes do all the time, which can wait. */
  save(id: string, options?: { readonly routine?: boolean }): void {
    this.#saver.save(id, options);
  }

  /** Forgets a node. */
  remove(entry: Entry): void {
    const { id } = entry.node;
    this.#entries.delete(id);
    this.#saver.remove(id);
    this.#removed(entry);
  }

  /** Writes what is not written yet. */
  flush(): Promise<void> {
    return this.#saver.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#saver[Symbol.asyncDispose]();
  }

  #forgetOld(): void {
    const { clock, isPinned } = this.#options;
    const nowMs = clock.now();
    for (const entry of this.#entries.values()) {
      const gone = entry.node.disconnectedAt;
      if (entry.node.connected || gone === undefined) continue;
      if (nowMs - timestampMs(gone) < FORGOTTEN_AFTER_MS) continue;
      if (isPinned(entry.node.id)) continue;
      this.remove(entry);
    }
    if (!this.#closed)
      this.#timer = clock.setTimer(FORGET_EVERY_MS, () => {
        this.#forgetOld();
        void this.flush();
      });
  }
}
