import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { NodeRecord, Store } from "../store/store.ts";

/** Changes are written together, at most this often. */
const FLUSH_MS = 2_000;
/** What every change of the configuration brings, and every node tells again when it is back, is written at most this often. */
const ROUTINE_MS = 60_000;
/** Nodes that are encoded at a time. */
const SLICE = 256;

export interface NodeSaverOptions {
  readonly workspace: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A node as it is to be kept; undefined when it was forgotten meanwhile. */
  readonly encode: (id: string) => Uint8Array | undefined;
}

/** Writes what is known of nodes to the store, a little later and together. Nothing is lost that nodes do not tell again. */
export class NodeSaver implements AsyncDisposable {
  readonly #options: NodeSaverOptions;
  readonly #dirty = new Set<string>();
  readonly #removed = new Set<string>();
  #timer: Timer | undefined;
  #dueMs = Infinity;
  #flushing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: NodeSaverOptions) {
    this.#options = options;
  }

  /** A node has changed; or has done what all nodes do all the time, which can wait. */
  save(id: string, options: { readonly routine?: boolean } = {}): void {
    this.#removed.delete(id);
    this.#dirty.add(id);
    this.#schedule(options.routine === true ? ROUTINE_MS : FLUSH_MS);
  }

  /** A node was forgotten. */
  remove(id: string): void {
    this.#dirty.delete(id);
    this.#removed.add(id);
    this.#schedule(FLUSH_MS);
  }

  /** Writes what is not written yet. Never rejects: what could not be written is said, and tried again. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing
      .then(() => this.#write())
      .catch((error: unknown) => {
        this.#options.logger.error("nodes.not_saved", { err: error });
      });
    return this.#flushing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.flush();
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
    const { clock } = this.#options;
    const dueMs = clock.monotonic() + delayMs;
    if (this.#timer !== undefined && this.#dueMs <= dueMs) return;
    this.#timer?.cancel();
    this.#dueMs = dueMs;
    this.#timer = clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      void this.flush();
    });
  }

  async #write(): Promise<void> {
    if (this.#dirty.size === 0 && this.#removed.size === 0) return;
    const { logger } = this.#options;
    let ids = [...this.#dirty];
    let removed = [...this.#removed];
    this.#dirty.clear();
    this.#removed.clear();
    try {
      do {
        const { store, workspace } = this.#options;
        const records = this.#encode(ids.slice(0, SLICE));
        await store.saveNodes(workspace, records, removed);
        ids = ids.slice(SLICE);
        removed = [];
      } while (ids.length > 0);
    } catch (error) {
      logger.warn("nodes.not_saved", { err: error });
      for (const id of removed) if (!this.#dirty.has(id)) this.#removed.add(id);
      for (const id of ids) if (!this.#removed.has(id)) this.#dirty.add(id);
      this.#schedule(FLUSH_MS);
    }
  }

  #encode(ids: readonly string[]): NodeRecord[] {
    return ids.flatMap((id): NodeRecord[] => {
      const data = this.#options.encode(id);
      return data === undefined ? [] : [{ id, data }];
    });
  }
}
