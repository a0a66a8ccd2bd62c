import { randomUUID } from "node:crypto";
import { pid } from "node:process";
import type { Registry } from "prom-client";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Feature } from "../../model/features.ts";
import { KINDS } from "../../model/kinds.ts";
import { warmUpRules } from "../../model/rules.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { HostPort } from "../../runtime/host-port.ts";
import type { Logger } from "../../runtime/logger.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { LocalCounters, type SharedCounters } from "../plugins/counters.ts";
import type { Plugin } from "../plugins/plugin.ts";
import { PLUGINS } from "../plugins/registry.ts";
import { AccessLog } from "./access-log.ts";
import { compileSlices, type Violation } from "./compile/compile.ts";
import { Counters, type RevisionCount } from "./counters.ts";
import { Listeners } from "./downstream/listeners.ts";
import {
  headerSettings,
  type HeaderSettings,
} from "./headers/header-settings.ts";
import { explainSlices, type Explained } from "./explain/explain.ts";
import type { ExplainQuestion } from "./explain/question.ts";
import { GatewayMetrics } from "./metrics.ts";
import { PluginPool } from "./plugin-pool.ts";
import { AgentPool } from "./proxy/agents.ts";
import { FailureLog } from "./proxy/failure-log.ts";
import { ChoosingForwarder } from "./proxy/choosing-forwarder.ts";
import type { Forwarder } from "./proxy/forward.ts";
import type { Degradation, Runtime } from "./runtime.ts";
import type { UpstreamHealth } from "./upstreams/health/upstream-health.ts";
import { Upstreams } from "./upstreams/upstreams.ts";
import type { UpstreamView } from "./upstreams/view.ts";
import { requestId } from "./request-id.ts";
import { serve, type ServeTools } from "./serve.ts";
import { Watcher } from "./proxy/watch.ts";
import type { GatewaySettings } from "./settings.ts";

/** How a gateway is set up: its settings, and what it is given by its process. */
export interface GatewayOptions extends GatewaySettings {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A number from 0 to below 1. Default: `Math.random`. */
  readonly random?: () => number;
  /** What makes requests to upstreams. Default: connections of its own, and http-proxy for upgrades. */
  readonly forwarder?: Forwarder;
  /** Where numbers about requests go. Absent: nowhere. */
  readonly metrics?: Registry;
  /** Counters that plugins share with other processes. Default: this process's own. */
  readonly counters?: SharedCounters;
  /** Plugins beside those that are built in. */
  readonly plugins?: readonly Plugin[];
}

type Settings = GatewayOptions &
  Required<
    Omit<
      GatewayOptions,
      | "forwarder"
      | "metrics"
      | "headers"
      | "counters"
      | "accessLog"
      | "pluginModules"
    >
  >;

const DEFAULTS: Pick<
  Settings,
  "tlsVerify" | "graceMs" | "random" | "plugins" | "dnsServers"
> = {
  plugins: [],
  tlsVerify: false,
  graceMs: 5_000,
  random: Math.random,
  dnsServers: [],
};

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

/**
 * Proxies requests with one revision of the configuration at a time. A next one is compiled beside it and then swapped in;
 * requests under way end on the one they began with.
 */
export class Gateway implements AsyncDisposable {
  /** What this gateway can do. */
  readonly features: readonly Feature[];
  readonly #plugins: ReadonlyMap<string, Plugin>;
  readonly #instances: PluginPool;
  /** The state that is being prepared. */
  #preparing = new AbortController();
  readonly #options: Settings;
  readonly #headers: HeaderSettings;
  readonly #agents: AgentPool;
  readonly #upstreams: Upstreams;
  readonly #counters = new Counters();
  readonly #failures: FailureLog;
  readonly #metrics: GatewayMetrics | undefined;
  readonly #prepared = new WeakMap<Prepared, Runtime>();
  #runtime: Runtime | undefined;
  #listeners: Listeners | undefined;
  #accessLog: AccessLog | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: Settings) {
    this.#options = options;
    this.#agents = new AgentPool(options.clock);
    this.#headers = headerSettings(options.headers);
    this.#upstreams = new Upstreams(options);
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
    this.#instances = new PluginPool({
      clock,
      uuid: randomUUID,
      pid,
      logger,
      counters: options.counters ?? new LocalCounters({ clock }),
      metrics,
      upstreams: () => this.upstreams(),
    });
    this.#failures = new FailureLog(options.logger);
    this.#metrics =
      options.metrics === undefined
        ? undefined
        : new GatewayMetrics(
            options.metrics,
            this.#agents,
            () => this.#runtime,
          );
  }

  /** A gateway that does not listen yet, so that it can be given a configuration first. */
  static create(options: GatewayOptions): Gateway {
    warmUpRules();
    return new Gateway({ ...DEFAULTS, ...options });
  }

  /**
   * A gateway that listens already. Until it has a configuration, it answers every request with 503.
   *
   * @throws ListenError when nothing can listen there.
   */
  static async listen(
    options: GatewayOptions & {
      readonly listen: HostPort;
      readonly tlsListen?: HostPort;
    },
  ): Promise<Gateway> {
    const gateway = Gateway.create(options);
    await gateway.open(options.listen, options.tlsListen);
    return gateway;
  }

  /**
   * Begins to listen. Port 0: the system chooses.
   *
   * @param tlsListen Where to listen with TLS; absent: nowhere.
   * @throws ListenError when nothing can listen there, AccessLogError when the access log cannot be opened.
   */
  async open(listen: HostPort, tlsListen?: HostPort): Promise<void> {
    const { accessLog, clock, logger, metrics } = this.#options;
    if (accessLog !== undefined)
      this.#accessLog ??= await AccessLog.open(accessLog, {
        clock,
        logger,
        metrics,
      });
    const tools = this.#tools();
    this.#listeners = await Listeners.open(
      { plain: listen, secure: tlsListen },
      {
        clock,
        names: () => this.#runtime?.serverNames,
        onRequest: (arrived) => {
          // It never rejects: whatever goes wrong is answered and logged.
          void serve(arrived, this.#runtime, tools);
        },
        onRefused: (status) => {
          this.#metrics?.addRefused(status);
        },
      },
    );
  }

  /** Where it listens: "host:port"; empty before that. */
  get address(): string {
    return this.#listeners?.address ?? "";
  }

  /** Where it listens with TLS: "host:port"; empty when it does not. */
  get tlsAddress(): string {
    return this.#listeners?.tlsAddress ?? "";
  }

  /** The state that requests are served with; undefined before the first. */
  get serving(): Cursor | undefined {
    return this.#runtime?.cursor;
  }

  /** What of the served state is not served as it is meant. */
  get degraded(): readonly Degradation[] {
    return this.#runtime?.degraded ?? [];
  }

  /** How the addresses of upstreams are doing, as far as this process knows. */
  get health(): UpstreamHealth {
    return this.#upstreams.health;
  }

  /** Connections to upstreams: those that serve a request, and all. */
  get upstreamConnections(): { readonly busy: number; readonly open: number } {
    return {
      busy: this.#agents.busyConnections(),
      open: this.#agents.openConnections(),
    };
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
    this.#instances.begin();
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
        this.#agents.keepOnly(this.#runtime?.agents ?? new Map());
        this.#instances.begin();
      }
    }
  }

  /** Serves every request that comes from now on with this state. Requests under way stay with theirs. */
  commit(prepared: Prepared): void {
    const runtime = this.#prepared.get(prepared);
    if (runtime === undefined)
      throw new TypeError("this state was not prepared by this gateway");
    this.#runtime = runtime;
    this.#instances.commit();
    this.#upstreams.serve(runtime.balancers);
    this.#agents.keepOnly(runtime.agents);
    this.#failures.reset();
    const { logger } = this.#options;
    for (const { key, reason } of runtime.degraded.slice(0, MAX_LINES))
      logger.warn("gateway.degraded", { key, reason });
    for (const { key, reason } of runtime.warnings.slice(0, MAX_LINES))
      logger.warn("gateway.warning", { key, reason });
  }

  /** Says what would become of a request. Nothing is sent, and no balancer moves on. */
  async explain(question: ExplainQuestion): Promise<Explained> {
    const runtime = this.#runtime;
    if (runtime === undefined)
      return { ok: false, reason: "there is no configuration yet" };
    return driveSlices(explainSlices(runtime, question), {
      clock: this.#options.clock,
    });
  }

  /** The upstreams that are served, and how their targets are doing. */
  upstreams(): readonly UpstreamView[] {
    return this.#upstreams.views();
  }

  /** Requests and errors by revision, since this was last asked. */
  takeCounters(): RevisionCount[] {
    return this.#counters.take();
  }

  /** Goes on in a new file when the access log's was moved away. */
  reopenLogs(): void {
    this.#accessLog?.reopen();
  }

  /** Stops accepting, lets requests under way end for the grace time, then cuts all connections. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#listeners?.close(this.#options.graceMs);
    this.#upstreams.close();
    this.#agents.destroy();
    await this.#instances.close();
    await this.#accessLog?.[Symbol.asyncDispose]();
  }

  #compile(next: {
    readonly cursor: Cursor;
    readonly snapshot: Snapshot;
  }): ReturnType<typeof compileSlices> {
    const { onUnsupported, tlsVerify } = this.#options;
    return compileSlices(next, {
      plugins: this.#plugins,
      instances: this.#instances,
      features: this.features,
      agents: this.#agents,
      upstreams: this.#upstreams,
      tlsVerify,
      onUnsupported,
      previous: this.#runtime,
    });
  }

  #tools(): ServeTools {
    const { clock, logger, forwarder } = this.#options;
    return {
      clock,
      logger,
      requestId,
      forwarder: forwarder ?? new ChoosingForwarder(),
      watcher: new Watcher(clock),
      onServed: (served) => {
        const { revision, status } = served;
        if (revision !== undefined) this.#counters.add(revision, status);
        this.#metrics?.add(served);
      },
      accessLog: this.#accessLog,
      failures: this.#failures,
      headers: this.#headers,
      pluginGate: () => this.#instances.gate,
    };
  }
}

/** Lines about one state in the log, at most: the rest is in its list. */
const MAX_LINES = 20;
