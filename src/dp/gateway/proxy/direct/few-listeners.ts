type Listener = (argument: never) => void;

interface Entry {
  readonly event: string;
  readonly listener: Listener;
  readonly once: boolean;
}

const NOBODY: readonly Entry[] = [];

/**
 * Tells events to the few that listen. node's EventEmitter makes a table for each object; most of these objects are made
 * for one request, and nobody ever listens.
 */
export class FewListeners {
  /** Replaced and never changed, so that who is told of an event may add and remove. */
  #entries = NOBODY;

  on(event: string, listener: Listener): this {
    this.#entries = [...this.#entries, { event, listener, once: false }];
    return this;
  }

  once(event: string, listener: Listener): this {
    this.#entries = [...this.#entries, { event, listener, once: true }];
    return this;
  }

  off(event: string, listener: Listener): this {
    const at = this.#entries.findIndex(
      (entry) => entry.event === event && entry.listener === listener,
    );
    if (at >= 0) this.#entries = this.#entries.filter((_entry, i) => i !== at);
    return this;
  }

  /** Tells those that listen, in their order. */
  emit(event: string, argument?: unknown): void {
    for (const entry of this.#entries) {
      if (entry.event !== event) continue;
      if (entry.once) this.#entries = this.#entries.filter((e) => e !== entry);
      entry.listener(argument as never);
    }
  }
}
