import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Feature } from "../../model/features.ts";
import { warmUpRules } from "../../model/rules.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { HostPort } from "../../runtime/host-port.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { AccessLog } from "./access-log.ts";
import { Counters, type RevisionCount } from "./counters.ts";
import { Listeners } from "./downstream/listeners.ts";
import {
  headerSettings,
  type HeaderSettings,
} from "./headers/header-settings.ts";
import { explainSlices, type Explained } from "./explain/explain.ts";
import type { ExplainQuestion } from "./explain/question.ts";
import { GatewayMetrics } from "./metrics.ts";
import { FailureLog } from "./proxy/failure-log.ts";
import { ChoosingForwarder } from "./proxy/choosing-forwarder.ts";
import { DEFAULTS, type FullOptions, type GatewayOptions } from "./options.ts";
import type { Degradation } from "./runtime.ts";
import { States, type Prepared, type PrepareResult } from "./states.ts";
import type { UpstreamHealth } from "./upstreams/health/upstream-health.ts";
import type { UpstreamView } from "./upstreams/view.ts";
import { requestId } from "./request-id.ts";
import { serve, type ServeTools } from "./serve.ts";
import { Watcher } from "./proxy/watch.ts";

/**
 * Proxies requests with one revision of the configuration at a time. A next one is compiled beside it and then swapped in;
 * requests under way end on the one they began with.
 */
export class Gateway implements AsyncDisposable {
  readonly #options: FullOptions;
  readonly #headers: HeaderSettings;
  readonly #states: States;
  readonly #counters = new Counters();
  readonly #failures: FailureLog;
  readonly #metrics: GatewayMetrics | undefined;
  #listeners: Listeners | undefined;
  #accessLog: AccessLog | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: FullOptions) {
    this.#options = options;
    this.#headers = headerSettings(options.headers);
    this.#states = new States(options);
    this.#failures = new FailureLog(options.logger);
    this.#metrics =
      options.metrics === undefined
        ? undefined
        : new GatewayMetrics(
            options.metrics,
            this.#states.agents,
            () => this.#states.serving,
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
    const states = this.#states;
    this.#listeners = await Listeners.open(
      { plain: listen, secure: tlsListen },
      {
        clock,
        names: () => states.serving?.serverNames,
        onRequest: (arrived) => {
          // It never rejects: whatever goes wrong is answered and logged.
          void serve(arrived, states.serving, tools);
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

  /** What this gateway can do. */
  get features(): readonly Feature[] {
    return this.#states.features;
  }

  /** The state that requests are served with; undefined before the first. */
  get serving(): Cursor | undefined {
    return this.#states.serving?.cursor;
  }

  /** What of the served state is not served as it is meant. */
  get degraded(): readonly Degradation[] {
    return this.#states.serving?.degraded ?? [];
  }

  /** How the addresses of upstreams are doing, as far as this process knows. */
  get health(): UpstreamHealth {
    return this.#states.upstreams.health;
  }

  /** Connections to upstreams: those that serve a request, and all. */
  get upstreamConnections(): { readonly busy: number; readonly open: number } {
    return {
      busy: this.#states.agents.busyConnections(),
      open: this.#states.agents.openConnections(),
    };
  }

  /**
   * Compiles a state beside the one that is served, which stays as it is.
   *
   * @param onProgress Hears now and then how much is done, of how much.
   * @param signal Ends the work; the promise rejects with its reason.
   */
  prepare(
    next: { readonly cursor: Cursor; readonly snapshot: Snapshot },
    onProgress?: (done: number, total: number) => void,
    signal?: AbortSignal,
  ): Promise<PrepareResult> {
    return this.#states.prepare(next, onProgress, signal);
  }

  /** Serves every request that comes from now on with this state. Requests under way stay with theirs. */
  commit(prepared: Prepared): void {
    this.#states.commit(prepared);
    this.#failures.reset();
  }

  /** Says what would become of a request. Nothing is sent, and no balancer moves on. */
  async explain(question: ExplainQuestion): Promise<Explained> {
    const runtime = this.#states.serving;
    if (runtime === undefined)
      return { ok: false, reason: "there is no configuration yet" };
    return driveSlices(explainSlices(runtime, question), {
      clock: this.#options.clock,
    });
  }

  /** The upstreams that are served, and how their targets are doing. */
  upstreams(): readonly UpstreamView[] {
    return this.#states.upstreams.views();
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
    await this.#states.close();
    await this.#accessLog?.[Symbol.asyncDispose]();
  }

  #tools(): ServeTools {
    const { clock, logger, forwarder } = this.#options;
    const { instances } = this.#states;
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
      pluginGate: () => instances.gate,
    };
  }
}
