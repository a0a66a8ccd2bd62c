import type { UpstreamView } from "../gateway/upstreams/view.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import { systemClock } from "../../runtime/clock.ts";
import { ListenError } from "../../runtime/host-port.ts";
import { createLogger, type Logger } from "../../runtime/logger.ts";
import { driveSlices } from "../../runtime/slices.ts";
import { Registry } from "prom-client";
import type { ExplainQuestion } from "../gateway/explain/question.ts";
import { Gateway } from "../gateway/gateway.ts";
import type { Prepared } from "../gateway/states.ts";
import { loadPlugins } from "../plugins/modules/load-plugins.ts";
import type { Link } from "./link.ts";
import type {
  FromWorker,
  ListenAt,
  PreparedNews,
  ToWorker,
  WorkerSettings,
} from "./messages.ts";
import { IncomingState } from "./receive-state.ts";
import { RemoteCounters } from "./remote-counters.ts";

/** How often the data plane hears how far a state is. */
const PROGRESS_MS = 100;
/** What a worker lists of a state, at most, so that a message stays small. */
const MAX_LISTED = 1_000;

/** A state that the data plane wants to have ready. */
interface Work {
  readonly id: number;
  readonly incoming: IncomingState;
  readonly stop: AbortController;
  /** Whether its preparation has begun. */
  begun: boolean;
  prepared: Prepared | undefined;
}

/** One process that proxies: does what the data plane tells it, and has nothing of its own that must outlive it. */
export class Worker {
  readonly #link: Link<ToWorker, FromWorker>;
  readonly #gateway: Gateway;
  readonly #logger: Logger;
  readonly #metrics: Registry;
  readonly #counters: RemoteCounters;
  #served: Snapshot | undefined;
  /** What was last told of upstreams. */
  #toldUpstreams = "[]";
  #work: Work | undefined;
  #closing: Promise<void> | undefined;

  private constructor(parts: {
    readonly link: Link<ToWorker, FromWorker>;
    readonly gateway: Gateway;
    readonly logger: Logger;
    readonly metrics: Registry;
    readonly counters: RemoteCounters;
  }) {
    this.#link = parts.link;
    this.#gateway = parts.gateway;
    this.#logger = parts.logger;
    this.#metrics = parts.metrics;
    this.#counters = parts.counters;
  }

  /**
   * Sets up a worker, which does not listen yet. Nothing is said to it before it has said hello.
   *
   * @throws PluginModuleError when a plugin cannot be had.
   */
  static async start(
    { number, logLevel, gateway: settings }: WorkerSettings,
    link: Link<ToWorker, FromWorker>,
  ): Promise<Worker> {
    const logger = createLogger(logLevel).child({ worker: number });
    const metrics = new Registry();
    const counters = new RemoteCounters({
      clock: systemClock,
      isFull: () => link.isFull,
      send: (id, steps) => {
        void link.send({ type: "count", id, steps });
      },
    });
    const gateway = Gateway.create({
      ...settings,
      clock: systemClock,
      logger,
      metrics,
      counters,
      plugins: await loadPlugins(settings.pluginModules ?? []),
    });
    // One of the workers is told to.
    gateway.health.probing = false;
    gateway.health.onObserved((event) => {
      // States must get there; of counts a few may be missing while the other side is slow.
      if (event.state !== undefined || !link.isFull)
        void link.send({ type: "health", event });
    });
    void link.send({ type: "hello", features: gateway.features });
    return new Worker({ link, gateway, logger, metrics, counters });
  }

  /** Does what the data plane says. */
  take(message: ToWorker, bytes: Buffer): void {
    switch (message.type) {
      case "settings":
        throw new TypeError("a worker is set up once");
      case "state":
        this.#work?.stop.abort();
        this.#work = {
          id: message.id,
          incoming: new IncomingState(message, this.#served),
          stop: new AbortController(),
          begun: false,
          prepared: undefined,
        };
        this.#go();
        return;
      case "bytes":
        // Of a state that was dropped meanwhile.
        if (this.#work?.id !== message.id) return;
        this.#work.incoming.receive(bytes);
        this.#go();
        return;
      case "drop":
        if (this.#work?.id !== message.id) return;
        this.#work.stop.abort();
        this.#work = undefined;
        return;
      case "commit":
        this.#commit(message.id);
        return;
      case "listen":
        void this.#listen(message.at);
        return;
      case "health":
        this.#gateway.health.observe(message.event);
        return;
      case "states":
        void this.#link.send({
          type: "states",
          id: message.id,
          states: this.#gateway.health.states(),
        });
        return;
      case "probe":
        this.#gateway.health.probing = message.on;
        return;
      case "reopenLogs":
        this.#gateway.reopenLogs();
        return;
      case "explain":
        void this.#explain(message.id, message.question);
        return;
      case "ping":
        this.#pong();
        return;
      case "counted":
        this.#counters.answered(message.id, message.values);
        return;
      case "metrics":
        void this.#tellMetrics(message.id);
        return;
      case "close":
        void this.close();
        return;
      default:
        message satisfies never;
    }
  }

  /** Stops accepting, lets requests under way end for the grace time, and cuts the rest off. */
  close(): Promise<void> {
    this.#closing ??= this.#gateway.close().then(() => {
      // The last word of what was counted.
      this.#pong();
    });
    return this.#closing;
  }

  get logger(): Logger {
    return this.#logger;
  }

  #go(): void {
    const work = this.#work;
    if (work === undefined || work.begun || !work.incoming.isWhole) return;
    work.begun = true;
    const { id } = work;
    void this.#prepare(work)
      .catch((error: unknown): PreparedNews => ({
        ok: false,
        class: "BROKEN",
        reason: error instanceof Error ? error.message : String(error),
      }))
      .then((news) => {
        if (!work.stop.signal.aborted)
          void this.#link.send({ type: "prepared", id, news });
      });
  }

  async #prepare(work: Work): Promise<PreparedNews> {
    const { id, incoming, stop } = work;
    const { signal } = stop;
    let toldMs = -Infinity;
    const progress = (done: number, total: number): void => {
      const nowMs = systemClock.monotonic();
      if (nowMs - toldMs < PROGRESS_MS || this.#link.isFull) return;
      toldMs = nowMs;
      void this.#link.send({ type: "progress", id, done, total });
    };
    const snapshot = await driveSlices(incoming.snapshotSlices(), {
      signal,
      onYield: () => {
        progress(0, 0);
      },
    });
    const { cursor } = incoming;
    const result = await this.#gateway.prepare(
      { cursor, snapshot },
      progress,
      signal,
    );
    if (!result.ok)
      return { ...result, violations: result.violations.slice(0, MAX_LISTED) };
    const { degraded, warnings, counts } = (work.prepared = result.prepared);
    return {
      ok: true,
      degraded: degraded.slice(0, MAX_LISTED),
      warnings: warnings.slice(0, MAX_LISTED),
      counts: { ...counts },
    };
  }

  #commit(id: number): void {
    const prepared = this.#work?.id === id ? this.#work.prepared : undefined;
    // Better none than one that serves something else than the others.
    if (prepared === undefined)
      throw new Error(`state ${id} is to be served and was not prepared`);
    const isFirst = this.#served === undefined;
    this.#work = undefined;
    this.#gateway.commit(prepared);
    this.#served = prepared.snapshot;
    void this.#link.send({
      type: "committed",
      id,
      // Else the node would have no upstreams to show until the next sign of life. Not each time: there may be many of
      // them, and many changes.
      ...(isFirst ? this.#upstreamNews() : {}),
    });
  }

  async #listen(at: ListenAt): Promise<void> {
    try {
      await this.#gateway.open(...at);
      const { address, tlsAddress } = this.#gateway;
      void this.#link.send({ type: "listening", address, tlsAddress });
    } catch (error) {
      const cause = error instanceof Error ? (error.cause ?? error) : error;
      void this.#link.send({
        type: "notListening",
        listen: error instanceof ListenError ? error.listen : at[0],
        code:
          typeof cause === "object" && cause !== null && "code" in cause
            ? String(cause.code)
            : "",
        reason: cause instanceof Error ? cause.message : String(cause),
      });
    }
  }

  #pong(): void {
    void this.#link.send({
      type: "pong",
      counts: this.#gateway
        .takeCounters()
        .map(({ revision, requests, errors }) => ({
          revision: String(revision),
          requests: String(requests),
          errors: String(errors),
        })),
      ...this.#upstreamNews(),
    });
  }

  async #explain(id: number, question: ExplainQuestion): Promise<void> {
    const explained = await this.#gateway.explain(question);
    void this.#link.send({ type: "explained", id, explained });
  }

  #upstreamNews(): { readonly upstreams?: readonly UpstreamView[] } {
    const upstreams = this.#gateway.upstreams();
    const text = JSON.stringify(upstreams);
    if (text === this.#toldUpstreams) return {};
    this.#toldUpstreams = text;
    return { upstreams };
  }

  async #tellMetrics(id: number): Promise<void> {
    const metrics = await this.#metrics.getMetricsAsJSON();
    void this.#link.send({ type: "metrics", id, metrics });
  }
}
