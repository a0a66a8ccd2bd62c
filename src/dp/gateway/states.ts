import { randomUUID } from "node:crypto";
import { pid } from "node:process";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Feature } from "../../model/features.ts";
import { KINDS } from "../../model/kinds.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { LocalCounters } from "../plugins/counters.ts";
import type { Plugin } from "../plugins/plugin.ts";
import { PLUGINS } from "../plugins/registry.ts";
import { compileSlices, type Violation } from "./compile/compile.ts";
import type { FullOptions } from "./options.ts";
import { PluginPool } from "./plugin-pool.ts";
import { AgentPool } from "./proxy/agents.ts";
import type { Degradation, Runtime } from "./runtime.ts";
import { Upstreams } from "./upstreams/upstreams.ts";

/** A state that is ready to be served. */
export interface Prepared {
  readonly cursor: Cursor;
  readonly snapshot: Snapshot;
  /** What of it is not served as it is meant. */
  readonly degraded: readonly Degradation[];
  /** What is odd, but served. */
  readonly warnings: readonly Degradation[];
  /** How much there is. */
  readonly counts: { readonly routes: number; readonly services: number };
}

/** A state that can be served, or why not. */
export type PrepareResult =
  | { readonly ok: true; readonly prepared: Prepared }
  | {
      readonly ok: false;
      /** Crashed: it was not this process that did. */
      readonly class: "INVALID" | "UNSUPPORTED" | "CRASHED";
      readonly violations: readonly Violation[];
    };

/** Roughly how often an entry is handled while it is compiled. */
const PASSES = 3;
/** Lines about one state in the log, at most: the rest is in its list. */
const MAX_LINES = 20;

/**
 * States of the configuration: the one that is served and the one that is prepared beside it, with what outlives both:
 * connections to upstreams, what is known of them, and plugins whose configuration has not changed.
 */
export class States {
  /** What can be served. */
  readonly features: readonly Feature[];
  readonly agents: AgentPool;
  readonly upstreams: Upstreams;
  readonly instances: PluginPool;
  readonly #options: FullOptions;
  readonly #plugins: ReadonlyMap<string, Plugin>;
  readonly #prepared = new WeakMap<Prepared, Runtime>();
  /** The state that is being prepared. */
  #preparing = new AbortController();
  #serving: Runtime | undefined;

  constructor(options: FullOptions) {
    this.#options = options;
    this.agents = new AgentPool(options.clock);
    this.upstreams = new Upstreams(options);
    this.#plugins = new Map([
      ...PLUGINS,
      ...options.plugins.map((plugin) => [plugin.name, plugin] as const),
    ]);
    this.features = [
      ...KINDS.map((kind) => ({ name: `kind/${kind}`, version: 1 })),
      ...[...this.#plugins.values()].map(({ name, version }) => ({
        name: `plugin/${name}`,
        version,
      })),
    ];
    const { clock, logger, metrics } = options;
    this.instances = new PluginPool({
      clock,
      uuid: randomUUID,
      pid,
      logger,
      counters: options.counters ?? new LocalCounters({ clock }),
      metrics,
      upstreams: () => this.upstreams.views(),
    });
  }

  /** What requests are served with; undefined before the first. */
  get serving(): Runtime | undefined {
    return this.#serving;
  }

  /**
   * Compiles a state beside the one that is served, which stays as it is.
   *
   * @param onProgress Hears now and then how much is done, of how much.
   * @param signal Ends the work; the promise rejects with its reason.
   */
  async prepare(
    next: { readonly cursor: Cursor; readonly snapshot: Snapshot },
    onProgress?: (done: number, total: number) => void,
    signal?: AbortSignal,
  ): Promise<PrepareResult> {
    const total = next.snapshot.entryCount * PASSES;
    let done = 0;
    let prepared: Prepared | undefined;
    // One at a time: two would make plugins for each other, and the first to end would close those of both.
    this.#preparing.abort(new Error("a later state is prepared instead"));
    const own = new AbortController();
    this.#preparing = own;
    this.instances.begin();
    try {
      const compiled = await driveSlices(this.#compile(next), {
        clock: this.#options.clock,
        signal:
          signal === undefined
            ? own.signal
            : AbortSignal.any([signal, own.signal]),
        onYield: (entries) => {
          done = Math.min(total, done + entries);
          onProgress?.(done, total);
        },
      });
      if (!compiled.ok) return compiled;
      prepared = compiled.runtime;
      this.#prepared.set(prepared, compiled.runtime);
      return { ok: true, prepared };
    } finally {
      // A state that came to nothing leaves no connections of its own behind.
      if (prepared === undefined && this.#preparing === own) {
        this.agents.keepOnly(this.#serving?.agents ?? new Map());
        this.instances.begin();
      }
    }
  }

  /** Serves every request that comes from now on with this state. Requests under way stay with theirs. */
  commit(prepared: Prepared): void {
    const runtime = this.#prepared.get(prepared);
    if (runtime === undefined)
      throw new TypeError("this state was not prepared by this gateway");
    this.#serving = runtime;
    this.instances.commit();
    this.upstreams.serve(runtime.balancers);
    this.agents.keepOnly(runtime.agents);
    const { logger } = this.#options;
    for (const { key, reason } of runtime.degraded.slice(0, MAX_LINES))
      logger.warn("gateway.degraded", { key, reason });
    for (const { key, reason } of runtime.warnings.slice(0, MAX_LINES))
      logger.warn("gateway.warning", { key, reason });
  }

  /** Ends what outlives states. */
  async close(): Promise<void> {
    this.upstreams.close();
    this.agents.destroy();
    await this.instances.close();
  }

  #compile(next: {
    readonly cursor: Cursor;
    readonly snapshot: Snapshot;
  }): ReturnType<typeof compileSlices> {
    const { onUnsupported, tlsVerify } = this.#options;
    return compileSlices(next, {
      plugins: this.#plugins,
      instances: this.instances,
      features: this.features,
      agents: this.agents,
      upstreams: this.upstreams,
      tlsVerify,
      onUnsupported,
      previous: this.#serving,
    });
  }
}
