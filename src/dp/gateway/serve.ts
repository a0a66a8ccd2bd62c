import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Answer, MutableHeaders } from "../plugins/plugin.ts";
import type { Arrived, DownstreamConnection } from "./downstream/message.ts";
import { RoutedExchange } from "./exchange.ts";
import { forwardedBy, type Forwarded } from "./headers/forwarded.ts";
import type { HeaderSettings, OwnHeaders } from "./headers/header-settings.ts";
import { NO_PLUGINS } from "./plugin-answers.ts";
import type { AccessGate } from "./plugin-pool.ts";
import { isPending, PluginRun } from "./plugin-run.ts";
import { passOn } from "./proxy/answer-client.ts";
import { tryUpstream, type ClientSide } from "./proxy/attempts.ts";
import { failureAnswer, type Failure } from "./proxy/failure.ts";
import type { FailureLog } from "./proxy/failure-log.ts";
import type { Forwarder } from "./proxy/forward.ts";
import {
  InboundRequest,
  isReadable,
  readTarget,
  type RequestTarget,
} from "./proxy/inbound.ts";
import { OutboundRequest } from "./proxy/outbound.ts";
import { RequestBody } from "./proxy/request-body.ts";
import { sendAnswer, upgradeToHttps } from "./proxy/responses.ts";
import type { PathMatch } from "./router/conditions.ts";
import type { Runtime, ServedRoute, ServedService } from "./runtime.ts";
import { upstreamPath } from "./upstream-path.ts";

/** What serving a request needs beside its revision. */
export interface ServeTools {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A new id for a request. */
  readonly requestId: () => string;
  readonly forwarder: Forwarder;
  /** Hears of every request that is over, once. */
  readonly onServed: (
    revision: bigint,
    status: number,
    durationMs: number,
  ) => void;
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
  #matched: Pick<Plan, "route" | "service"> | undefined;
  #plugins: PluginRun | undefined;
  #status = CLIENT_GONE;
  /** Undefined when it is not to be counted, or was. */
  #revision: bigint | undefined;

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
  }

  /** Finds the route and runs the plugins; undefined when that has answered the request. */
  async plan(runtime: Runtime | undefined): Promise<Plan | undefined> {
    const target = readTarget(this.#arrived.request, this.#arrived.connection);
    if (target === undefined || !isReadable(this.#arrived.request)) {
      this.#answer({ status: 400, message: "Bad request" });
      return undefined;
    }
    if (runtime === undefined) {
      this.#answer({
        status: 503,
        message:
          "no configuration yet: this data plane has not heard from a control plane",
      });
      return undefined;
    }
    this.#countAtEnd(runtime.cursor.revision);
    const gate = this.#tools.pluginGate();
    gate.enter();
    const plan = await this.#route(target, runtime).finally(() => {
      gate.leave();
    });
    return this.#arrived.response.destroyed ? undefined : plan;
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
    const early =
      chains.rewriting.length > 0 ? await plugins.rewrite(chains) : undefined;
    const match = early === undefined ? router.match(inbound) : undefined;
    if (match === undefined) {
      plugins.unrouted(chains);
      exchange.release();
      this.#answer(
        early ?? { status: 404, message: "no Route matched with those values" },
      );
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
      this.#answer(upgradeToHttps(route.httpsRedirectStatus, target, host));
      return undefined;
    }
    const { path } = match;
    exchange.routed(route, service, path);
    if (service !== undefined)
      planPath(upstream, { route, service, path }, target, this.#forwarded);
    const deciding = plugins.access(chains);
    const answer = isPending(deciding) ? await deciding : deciding;
    exchange.release();
    if (answer === undefined) return { route, service, target, upstream };
    this.#answer(answer);
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
  async forward({ route, service, target, upstream }: Plan): Promise<void> {
    if (service === undefined) {
      this.#answer({
        status: 503,
        message: "no Service found with those values",
      });
      return;
    }
    const { clock, failures } = this.#tools;
    const query =
      upstream.rawQuery === undefined ? "" : `?${upstream.rawQuery}`;
    const sentMs = clock.monotonic();
    const tried = await tryUpstream(
      this.#client,
      {
        service,
        method: upstream.method,
        path: upstream.path + query,
        headers: upstream.headers,
        preservedHost: hostToSend(route, target, upstream),
      },
      this.#tools,
    );
    if (tried.type === "gone") return;
    const fail = (failure: Failure): void => {
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
    const passed = await passOn(this.#client, tried, {
      id: this.id,
      latencies: {
        proxyMs: Math.round(sentMs - this.#startMs),
        upstreamMs: Math.round(answeredMs - sentMs),
      },
      head: this.#head(),
      plugins: this.#plugins ?? NO_PLUGINS,
      onHead: (status) => {
        this.#status = status;
        failures.succeeded(service);
      },
      idleMs: service.readTimeoutMs,
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

  #answerFailure(failure: Failure): void {
    this.#answer(failureAnswer(failure));
  }

  /** Answers from here. */
  #answer(answer: Answer): void {
    const { request, response, awaitsContinue } = this.#arrived;
    this.#status = answer.status;
    // The client may send its body or not: where its next request begins cannot be known.
    if (awaitsContinue && !this.#continued) response.shouldKeepAlive = false;
    sendAnswer(response, answer, {
      request,
      id: this.id,
      latencyMs: Math.round(this.#tools.clock.monotonic() - this.#startMs),
      head: this.#head(),
      plugins: this.#plugins ?? NO_PLUGINS,
    });
    this.#dropBody();
  }

  /** The headers of our own that the answer gets. */
  #head(): OwnHeaders {
    const { plain, revision, debug } = this.#tools.headers;
    const asked = debug && this.#arrived.request.headers["kong-debug"] === "1";
    if (!revision && !asked) return plain;
    const served = this.#revision;
    const matched = asked ? this.#matched : undefined;
    return {
      ...plain,
      tell: (headers) => {
        if (revision && served !== undefined)
          headers.set(REVISION, String(served));
        if (matched !== undefined) tellRoute(headers, matched);
      },
    };
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

  #countAtEnd(revision: bigint): void {
    this.#revision = revision;
    this.#arrived.response.once("close", () => {
      this.#end();
    });
  }

  /** Counts the request and lets plugins log it, once. */
  #end(): void {
    if (this.#revision === undefined) return;
    const durationMs = this.#tools.clock.monotonic() - this.#startMs;
    this.#tools.onServed(this.#revision, this.#status, durationMs);
    this.#revision = undefined;
    this.#plugins?.end(undefined);
    this.#plugins = undefined;
  }
}

/** What is needed of a revision to send a request upstream: not the revision itself. */
interface Plan {
  readonly route: ServedRoute;
  readonly service: ServedService | undefined;
  readonly target: RequestTarget;
  readonly upstream: OutboundRequest;
}

const REVISION = "X-Holdfast-Revision";

/** Answers a request that asks which route and service it met. */
function tellRoute(
  headers: MutableHeaders,
  { route, service }: Pick<Plan, "route" | "service">,
): void {
  headers.set("Kong-Route-Id", route.id);
  if (route.name !== "") headers.set("Kong-Route-Name", route.name);
  if (service === undefined) return;
  headers.set("Kong-Service-Id", service.id);
  if (service.name !== "") headers.set("Kong-Service-Name", service.name);
}

/** Tells where the request will go, unless a plugin says otherwise. */
function planPath(
  upstream: OutboundRequest,
  {
    route: { stripPath: strip, pathHandling: version },
    service,
    path: { prefix },
  }: {
    readonly route: ServedRoute;
    readonly service: ServedService;
    readonly path: PathMatch;
  },
  target: RequestTarget,
  forwarded: Forwarded | undefined,
): void {
  if (
    strip &&
    prefix !== "" &&
    prefix !== "/" &&
    forwarded?.prefix === undefined
  )
    upstream.headers.set("X-Forwarded-Prefix", prefix);
  upstream.planPath(() =>
    upstreamPath(target.path, prefix, {
      servicePath: service.path,
      strip,
      version,
    }),
  );
}

/** The Host header that goes upstream, when it is not the target's: a plugin's, or the client's. */
function hostToSend(
  { preserveHost }: ServedRoute,
  { hostHeader }: RequestTarget,
  { headers }: OutboundRequest,
): string | undefined {
  const [host] = headers.get("Host");
  if (host !== undefined) return host;
  return preserveHost && hostHeader !== "" ? hostHeader : undefined;
}
