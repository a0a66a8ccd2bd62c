import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Answer } from "../plugins/plugin.ts";
import type { Arrived, DownstreamConnection } from "./downstream/message.ts";
import { RoutedExchange } from "./exchange.ts";
import {
  NO_CONFIGURATION,
  NO_ROUTE,
  NO_SERVICE,
  refusalOf,
  type OwnAnswer,
} from "./answers/own-answers.ts";
import type { Reason } from "./answers/reason.ts";
import { ownHeaders, type Matched } from "./headers/told.ts";
import { hostToSend, planPath } from "./plan-upstream.ts";
import type { LogEntry } from "./log-entry.ts";
import type { UpstreamResponse } from "./proxy/messages.ts";
import { RequestNotes } from "./request-notes.ts";
import { RequestRecord } from "./request-record.ts";
import { forwardedBy, type Forwarded } from "./headers/forwarded.ts";
import type { HeaderSettings, OwnHeaders } from "./headers/header-settings.ts";
import { NO_PLUGINS, type AnswerPlugins } from "./plugin-answers.ts";
import type { AccessGate } from "./plugin-pool.ts";
import { isPending, PluginRun } from "./plugin-run.ts";
import { passOn } from "./proxy/answer-client.ts";
import { tryUpstream, type ClientSide } from "./proxy/attempts.ts";
import { failureAnswer, type Failure } from "./proxy/failure.ts";
import type { FailureLog } from "./proxy/failure-log.ts";
import { grpcMismatch } from "./grpc/grpc-mismatch.ts";
import type { Forwarder } from "./proxy/forward.ts";
import {
  InboundRequest,
  readTarget,
  type RequestTarget,
} from "./proxy/inbound.ts";
import { OutboundRequest } from "./proxy/outbound.ts";
import { RequestBody } from "./proxy/request-body.ts";
import { sendAnswer, upgradeToHttps } from "./proxy/responses.ts";
import { RequestFacts } from "./request-facts.ts";
import type { Watcher } from "./proxy/watch.ts";
import type { Runtime, ServedRoute, ServedService } from "./runtime.ts";

/** How a request ended. */
export interface Served {
  /** Undefined before any configuration. */
  readonly revision: bigint | undefined;
  readonly status: number;
  readonly durationMs: number;
  readonly source: "upstream" | "gateway";
  readonly reason: Reason;
}

/** What serving a request needs beside its revision. */
export interface ServeTools {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A new id for a request. */
  readonly requestId: () => string;
  readonly forwarder: Forwarder;
  readonly watcher: Watcher;
  /** Hears of every request that is over, once. */
  readonly onServed: (served: Served) => void;
  /** Undefined when no access log is wanted. */
  readonly accessLog: { write(entry: LogEntry): void } | undefined;
  readonly failures: FailureLog;
  readonly headers: HeaderSettings;
  /** Keeps plugins that the configuration drops from being closed before requests have taken them. */
  readonly pluginGate: () => AccessGate;
}

/** How long the rest of a body that nobody wants may take, so that its client can read the answer. */
const DROP_TIMEOUT_MS = 30_000;

/** The status that is counted for a client that left before there was one. */
const CLIENT_GONE = 499;

/**
 * Serves one request with one revision, from its first line to the end of its answer. Never rejects.
 *
 * @param runtime Undefined before any configuration.
 */
export function serve(
  arrived: Arrived,
  runtime: Runtime | undefined,
  tools: ServeTools,
): Promise<void> {
  const serving = new Serving(arrived, tools);
  // Two steps and no async function around them: a long answer would keep that one's parameters, and so the revision.
  return serving
    .plan(runtime)
    .then((plan) => (plan === undefined ? undefined : serving.forward(plan)))
    .catch((error: unknown) => {
      serving.failed(error);
    });
}

class Serving {
  readonly id: string;
  readonly #arrived: Arrived;
  readonly #tools: ServeTools;
  readonly #client: ClientSide;
  readonly #startMs: number;
  /** What a trusted proxy in front says. */
  readonly #forwarded: Forwarded | undefined;
  #continued = false;
  #matched: Matched | undefined;
  #plugins: PluginRun | undefined;
  #exchange: RoutedExchange | undefined;
  /** Undefined when nobody will log the request. */
  #notes: RequestNotes | undefined;
  #status = CLIENT_GONE;
  #reason: Reason = "client-gone";
  #source: "upstream" | "gateway" = "gateway";
  #sentMs: number | undefined;
  #answeredMs: number | undefined;
  /** What the upstream answers. */
  #from: UpstreamResponse | undefined;
  #revision: bigint | undefined;
  #workspace = "";
  #target: RequestTarget | undefined;
  #ended = false;

  constructor(arrived: Arrived, tools: ServeTools) {
    this.#forwarded =
      tools.headers.trusted === undefined
        ? undefined
        : forwardedBy(arrived.request, arrived.connection, tools.headers);
    this.id = this.#forwarded?.requestId ?? tools.requestId();
    this.#arrived = arrived;
    this.#tools = tools;
    this.#startMs = tools.clock.monotonic();
    const { request, response, upgrade } = arrived;
    const body = new RequestBody(request, tools.clock, () => {
      this.#continued = true;
      if (arrived.awaitsContinue) response.writeContinue();
    });
    this.#client = { request, response, body, upgrade };
    if (tools.accessLog !== undefined) this.#takeNotes();
    response.once("close", () => {
      this.#end();
    });
  }

  /** Finds the route and runs the plugins; undefined when that has answered the request. */
  async plan(runtime: Runtime | undefined): Promise<Plan | undefined> {
    const { request, connection, response } = this.#arrived;
    this.#revision = runtime?.cursor.revision;
    this.#workspace = runtime?.snapshot.workspace ?? "";
    const target = readTarget(request, connection);
    this.#target = target;
    const refusal = refusalOf(request, target);
    if (target === undefined || refusal !== undefined) {
      if (refusal !== undefined) this.#answerOwn(refusal);
      return undefined;
    }
    if (runtime === undefined) {
      this.#answerOwn(NO_CONFIGURATION);
      return undefined;
    }
    const gate = this.#tools.pluginGate();
    gate.enter();
    try {
      const plan = await this.#route(target, runtime);
      return response.destroyed ? undefined : plan;
    } finally {
      gate.leave();
    }
  }

  /** Something of ours went wrong. */
  failed(error: unknown): void {
    this.#tools.logger.error("request.failed", {
      request: this.id,
      err: error,
    });
    this.#answerFailure({
      reason: "internal",
      detail: String(error),
      retriable: false,
    });
  }

  async #route(
    target: RequestTarget,
    runtime: Runtime,
  ): Promise<Plan | undefined> {
    const { request } = this.#arrived;
    const { body } = this.#client;
    const inbound = new InboundRequest(
      request,
      target,
      this.#connection(),
      body,
    );
    const upstream = this.#outbound(target);
    const { chains, consumers, router } = runtime;
    const exchange = new RoutedExchange(this.id, inbound, upstream, consumers);
    const plugins = new PluginRun(exchange, this.#tools);
    this.#plugins = plugins;
    this.#exchange = exchange;
    const early =
      chains.rewriting.length > 0 ? await plugins.rewrite(chains) : undefined;
    const match = early === undefined ? router.match(inbound) : undefined;
    if (match === undefined) {
      plugins.unrouted(chains);
      exchange.release();
      if (plugins.logs) this.#takeNotes();
      if (early === undefined) this.#answerOwn(NO_ROUTE);
      else this.#answer(early, "plugin");
      return undefined;
    }
    const { route } = match;
    const service =
      route.serviceId === undefined
        ? undefined
        : runtime.services.get(route.serviceId);
    this.#matched = { route, service };
    const scheme = this.#forwarded?.scheme ?? target.scheme;
    if (route.httpsOnly && scheme === "http") {
      const host = this.#forwarded?.host ?? target.host;
      this.#answer(
        upgradeToHttps(route.httpsRedirectStatus, target, host),
        "protocol",
      );
      return undefined;
    }
    const mismatch = grpcMismatch(route, request, scheme);
    if (mismatch !== undefined) {
      this.#answer(mismatch, "protocol");
      return undefined;
    }
    const { path } = match;
    exchange.routed(route, service, path);
    if (service !== undefined)
      planPath(upstream, { route, service, path }, target, this.#forwarded);
    const deciding = plugins.access(chains);
    const answer = isPending(deciding) ? await deciding : deciding;
    exchange.release();
    if (plugins.logs) this.#takeNotes();
    if (answer === undefined) {
      const facts = new RequestFacts(inbound, exchange, match.path);
      return { route, service, target, upstream, facts };
    }
    this.#answer(answer, "plugin");
    return undefined;
  }

  /** The client's connection as plugins see it: with the address that a trusted proxy tells, if one does. */
  #connection(): DownstreamConnection {
    const { connection } = this.#arrived;
    const told = this.#forwarded?.clientAddress;
    return told === undefined
      ? connection
      : { ...connection, remoteAddress: told };
  }

  #outbound(target: RequestTarget): OutboundRequest {
    const { request, connection, upgrade } = this.#arrived;
    return new OutboundRequest(
      request,
      target,
      {
        id: this.id,
        idName: this.#tools.headers.names.requestId,
        clientAddress:
          this.#forwarded?.clientAddress ?? connection.remoteAddress,
        peerAddress: connection.remoteAddress,
        forwarded: this.#forwarded,
        localPort: connection.localPort,
        upgrade: upgrade !== undefined,
      },
      this.#client.body,
    );
  }

  /** Sends the request upstream and passes the answer on. */
  async forward(plan: Plan): Promise<void> {
    const { route, service, target, upstream, facts } = plan;
    if (service === undefined) {
      this.#answerOwn(NO_SERVICE);
      return;
    }
    const { clock, failures } = this.#tools;
    const query =
      upstream.rawQuery === undefined ? "" : `?${upstream.rawQuery}`;
    const sentMs = clock.monotonic();
    this.#sentMs = sentMs;
    const notes = this.#notes;
    if (notes !== undefined) notes.upstreamUri = upstream.path + query;
    const tried = await tryUpstream(
      this.#client,
      {
        service,
        method: upstream.method,
        path: upstream.path + query,
        headers: upstream.headers,
        preservedHost: hostToSend(route, target, upstream),
        onTry: notes === undefined ? undefined : notes.onTry,
        facts,
      },
      this.#tools,
    );
    if (tried.type === "gone") return;
    const fail = (failure: Failure): void => {
      // A client that sent too much says nothing about the upstream.
      if (failure.reason !== "body-too-large")
        failures.failed(service, failure, {
          request: this.id,
          target: tried.target,
        });
      this.#answerFailure(failure);
    };
    if (tried.type === "failed") {
      fail(tried.failure);
      return;
    }
    const answeredMs = clock.monotonic();
    this.#answeredMs = answeredMs;
    this.#from = tried.answered.response;
    const passed = await passOn(this.#client, tried, {
      id: this.id,
      latencies: {
        proxyMs: Math.round(sentMs - this.#startMs),
        upstreamMs: Math.round(answeredMs - sentMs),
      },
      head: this.#head(),
      plugins: this.#answerPlugins(),
      onHead: (status) => {
        this.#status = status;
        this.#reason = "";
        this.#source = "upstream";
        failures.succeeded(service);
      },
      idleMs: service.readTimeoutMs,
      method: upstream.method,
    });
    if (!passed)
      fail({
        reason: "bad-response",
        detail: "the upstream's answer is not one that can be passed on",
        retriable: false,
      });
    else if (this.#status === 101) this.#end();
    else this.#dropBody();
  }

  #answerOwn({ answer, reason }: OwnAnswer): void {
    this.#answer(answer, reason);
  }

  #answerFailure(failure: Failure): void {
    // Of a client that has stopped nothing more is waited for, or it would have its connection for longer than it may.
    if (failure.reason === "client-timed-out")
      this.#arrived.response.shouldKeepAlive = false;
    this.#answer(failureAnswer(failure), failure.reason);
  }

  /** Answers from here. */
  #answer(answer: Answer, reason: Reason): void {
    const { request, response, awaitsContinue } = this.#arrived;
    this.#status = answer.status;
    this.#reason = reason;
    this.#source = "gateway";
    // The client may send its body or not: where its next request begins cannot be known.
    if (awaitsContinue && !this.#continued) response.shouldKeepAlive = false;
    sendAnswer(response, answer, {
      request,
      id: this.id,
      latencyMs: Math.round(this.#tools.clock.monotonic() - this.#startMs),
      head: this.#head(),
      plugins: this.#answerPlugins(),
    });
    this.#dropBody();
  }

  #answerPlugins(): AnswerPlugins {
    const plugins = this.#plugins ?? NO_PLUGINS;
    return this.#notes?.beside(plugins) ?? plugins;
  }

  /** The headers of our own that the answer gets. */
  #head(): OwnHeaders {
    const { headers } = this.#tools;
    const asked =
      headers.debug && this.#arrived.request.headers["kong-debug"] === "1";
    return ownHeaders(headers, asked, this.#revision, this.#matched);
  }

  /** What is left of the body is read and thrown away, so that the connection serves again; but not for ever. */
  #dropBody(): void {
    const { request } = this.#arrived;
    if (request.complete || request.destroyed) return;
    const timer = this.#tools.clock.setTimer(DROP_TIMEOUT_MS, () => {
      request.destroy();
    });
    request.once("close", () => {
      timer.cancel();
    });
    this.#client.body.drop();
  }

  #takeNotes(): void {
    const { request, response } = this.#arrived;
    this.#notes ??= new RequestNotes(response, request.method === "HEAD");
  }

  /** Counts the request and has it logged, once. */
  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const durationMs = this.#tools.clock.monotonic() - this.#startMs;
    const from = this.#from;
    const revision = this.#revision;
    if (this.#reason === "" && from?.complete === false && this.#status !== 101)
      this.#reason = from.destroyed ? "broken-off" : "client-gone";
    this.#tools.onServed({
      revision,
      status: this.#status,
      durationMs,
      source: this.#source,
      reason: this.#reason,
    });
    const entry =
      this.#notes === undefined
        ? undefined
        : this.#entry(this.#notes, durationMs);
    if (entry !== undefined) this.#tools.accessLog?.write(entry);
    this.#plugins?.end(entry);
    this.#plugins = undefined;
    this.#exchange = undefined;
    this.#notes = undefined;
  }

  #entry(notes: RequestNotes, durationMs: number): LogEntry {
    const { request, connection } = this.#arrived;
    notes.upstreamStatus = this.#from?.statusCode;
    return new RequestRecord({
      requestId: this.id,
      workspace: this.#workspace,
      revision: this.#revision ?? 0n,
      clientIp: this.#forwarded?.clientAddress ?? connection.remoteAddress,
      endedAt: this.#tools.clock.now(),
      durationMs,
      gatewayMs:
        this.#sentMs === undefined ? undefined : this.#sentMs - this.#startMs,
      upstreamMs:
        this.#sentMs === undefined || this.#answeredMs === undefined
          ? undefined
          : this.#answeredMs - this.#sentMs,
      request,
      connection,
      target: this.#target,
      status: this.#status,
      notes,
      receivedBytes: this.#client.body.received,
      route: this.#matched?.route,
      service: this.#matched?.service,
      exchange: this.#exchange,
      source: this.#source,
      reason: this.#reason,
    });
  }
}

/** What is needed of a revision to send a request upstream: not the revision itself. */
interface Plan {
  readonly route: ServedRoute;
  readonly service: ServedService | undefined;
  readonly target: RequestTarget;
  readonly upstream: OutboundRequest;
  readonly facts: RequestFacts;
}
