import type { JsonObject } from "@bufbuild/protobuf";
import type {
  Plugin,
  PluginEnvironment,
  PluginHandlers,
  PluginPlace,
} from "../plugins/plugin.ts";
import type { PluginLease } from "./plugin-chains.ts";

/** How long plugins may take to close when the data plane stops. */
const CLOSE_TIMEOUT_MS = 5_000;

/** Configured plugins that keep something: made once, kept while their configuration stays, closed when nobody uses them. */
export class PluginPool {
  readonly #environment: PluginEnvironment;
  /** By the key of their entry. */
  readonly #serving = new Map<string, Pooled>();
  /** What the state that is prepared would have instead; undefined for nothing that is ever closed. */
  readonly #prepared = new Map<string, Pooled | undefined>();
  readonly #closing = new Set<Promise<void>>();
  #gate = new AccessGate(Promise.resolve());

  constructor(environment: PluginEnvironment) {
    this.#environment = environment;
  }

  /** A request enters it before it looks for its plugins, and leaves it when it has taken a lease of all of them. */
  get gate(): AccessGate {
    return this.#gate;
  }

  /** A state is going to be prepared; what another one that was never served had is dropped. */
  begin(): void {
    for (const pooled of this.#prepared.values())
      if (pooled !== undefined) this.#close(pooled);
    this.#prepared.clear();
  }

  /**
   * The handlers of an entry whose content has changed: the same ones if the plugin's configuration and
   * consumer group have not.
   *
   * @throws TypeError when the configuration is not the plugin's.
   */
  make(
    key: string,
    plugin: Plugin,
    config: JsonObject,
    place: PluginPlace,
  ): {
    readonly handlers: PluginHandlers;
    readonly lease: PluginLease | undefined;
  } {
    const signature = [plugin.name, config, place.consumerGroup]
      .map((part) => JSON.stringify(part))
      .join(" ");
    const before = this.#serving.get(key);
    if (before?.signature === signature) return before;
    const handlers = plugin.create(config, this.#environment, key, place);
    const pooled = new Pooled(signature, handlers);
    this.#prepared.set(key, pooled);
    return pooled;
  }

  /** An entry has gone, or its content has changed and it has no handlers any more. */
  drop(key: string): void {
    if (this.#serving.has(key)) this.#prepared.set(key, undefined);
  }

  /** The prepared state is served from now on. */
  commit(): void {
    const retired: Pooled[] = [];
    for (const [key, pooled] of this.#prepared) {
      const before = this.#serving.get(key);
      if (before !== undefined) retired.push(before);
      if (pooled === undefined) this.#serving.delete(key);
      else this.#serving.set(key, pooled);
    }
    this.#prepared.clear();
    if (retired.length === 0) return;
    const gate = this.#gate;
    this.#gate = new AccessGate(gate.drained);
    gate.supersede();
    for (const pooled of retired) this.#close(pooled, gate.drained);
  }

  /** Closes everything, when all requests are over. Plugins that take longer than some seconds are left to themselves. */
  async close(): Promise<void> {
    this.begin();
    for (const pooled of this.#serving.values()) this.#close(pooled);
    this.#serving.clear();
    const closed = Promise.all(this.#closing);
    await new Promise<void>((resolve) => {
      const timer = this.#environment.clock.setTimer(CLOSE_TIMEOUT_MS, resolve);
      void closed.then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #close(pooled: Pooled, drained = Promise.resolve()): void {
    const { logger } = this.#environment;
    const closed = drained
      .then(() => pooled.unused)
      .then(() => pooled.handlers.close?.())
      .catch((error: unknown) => {
        logger.error("plugin.close-failed", { err: error });
      })
      .finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }
}

/** Lets requests in until a later one takes its place, and then tells when they have all left. */
export class AccessGate {
  /** When all requests of this gate and of those before it have left. */
  readonly drained: Promise<void>;
  #inside = 0;
  #superseded = false;
  #empty: () => void = () => undefined;

  constructor(before: Promise<void>) {
    const empty = new Promise<void>((resolve) => {
      this.#empty = resolve;
    });
    this.drained = before.then(() => empty);
  }

  enter(): void {
    this.#inside++;
  }

  leave(): void {
    this.#inside--;
    this.#look();
  }

  supersede(): void {
    this.#superseded = true;
    this.#look();
  }

  #look(): void {
    if (this.#superseded && this.#inside === 0) this.#empty();
  }
}

class Pooled implements PluginLease {
  readonly signature: string;
  readonly handlers: PluginHandlers;
  /** Only for those that are closed: the others need not count. */
  readonly lease: PluginLease | undefined;
  #uses = 0;
  #onUnused: (() => void) | undefined;

  constructor(signature: string, handlers: PluginHandlers) {
    this.signature = signature;
    this.handlers = handlers;
    this.lease = handlers.close === undefined ? undefined : this;
  }

  take(): void {
    this.#uses++;
  }

  release(): void {
    if (--this.#uses === 0) this.#onUnused?.();
  }

  /** When no request uses it; none may begin to any more. */
  get unused(): Promise<void> {
    if (this.#uses === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onUnused = resolve;
    });
  }
}
