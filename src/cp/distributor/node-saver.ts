import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { NodeRecord, Store } from "../store/store.ts";

/** Changes are written together, at most this often: a heartbeat must not cost a write. */
const FLUSH_MS = 2_000;

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
  #flushing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: NodeSaverOptions) {
    this.#options = options;
  }

  /** A node has changed. */
  save(id: string): void {
    this.#removed.delete(id);
    this.#dirty.add(id);
    this.#schedule();
  }

  /** A node was forgotten. */
  remove(id: string): void {
    this.#dirty.delete(id);
    this.#removed.add(id);
    this.#schedule();
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

  #schedule(): void {
    if (this.#closed) return;
    this.#timer ??= this.#options.clock.setTimer(FLUSH_MS, () => {
      this.#timer = undefined;
      void this.flush();
    });
  }

  async #write(): Promise<void> {
    if (this.#dirty.size === 0 && this.#removed.size === 0) return;
    const { store, workspace, encode, logger } = this.#options;
    const ids = [...this.#dirty];
    const removed = [...this.#removed];
    this.#dirty.clear();
    this.#removed.clear();
    try {
      const records = ids.flatMap((id): NodeRecord[] => {
        const data = encode(id);
        return data === undefined ? [] : [{ id, data }];
      });
      await store.saveNodes(workspace, records, removed);
    } catch (error) {
      logger.warn("nodes.not_saved", { err: error });
      for (const id of removed) if (!this.#dirty.has(id)) this.#removed.add(id);
      for (const id of ids) if (!this.#removed.has(id)) this.#dirty.add(id);
      this.#schedule();
    }
  }
}
