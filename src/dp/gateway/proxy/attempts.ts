import type { Clock } from "../../../runtime/clock.ts";
import type { Answer } from "../../plugins/plugin.ts";
import type {
  Arrived,
  DownstreamRequest,
  DownstreamResponse,
} from "../downstream/message.ts";
import type { LoggedTry } from "../log-entry.ts";
import { isSecure, type ServedService } from "../runtime.ts";
import type { HashFacts } from "../upstreams/balancing/hash-input.ts";
import { addressText, type PickedPeer } from "../upstreams/peer.ts";
import { TimedOut, type Failure } from "./failure.ts";
import type { Answered, Forwarder, UpstreamCall } from "./forward.ts";
import type { HeaderBag } from "./header-bag.ts";
import type { RequestBody } from "./request-body.ts";
import type { Watch, Watcher, WaitLimits, Waiting } from "./watch.ts";

/** How long a client may take for the next bit of its request or of its answer. */
const CLIENT_TIMEOUT_MS = 60_000;

/** The two ends of a client's request. */
export interface ClientSide {
  readonly request: DownstreamRequest;
  readonly response: DownstreamResponse;
  readonly body: RequestBody;
  /** The way to the connection itself, when the client asked to upgrade it. */
  readonly upgrade: Arrived["upgrade"];
}

/** What goes to which service. */
export interface UpstreamPlan {
  readonly service: ServedService;
  readonly method: string;
  /** With query. */
  readonly path: string;
  readonly headers: HeaderBag;
  /** The client's Host header, when it goes upstream. */
  readonly preservedHost: string | undefined;
  /** Hears of each attempt that is over; undefined when nobody wants to know. */
  readonly onTry: ((tried: LoggedTry) => void) | undefined;
  /** What the request can be told apart by. */
  readonly facts: HashFacts;
}

/** An answer of the upstream that has begun. */
export interface Begun {
  readonly type: "begun";
  readonly answered: Extract<
    Answered,
    { readonly type: "response" | "upgrade" }
  >;
  readonly call: UpstreamCall;
  /** Set to what is waited for from now on. */
  readonly watch: Watch;
  /** Called for what moved of the request while the answer is relayed already. */
  readonly onRequestProgress: (listener: () => void) => void;
  /** Ends everything that still goes to the upstream. */
  readonly end: () => void;
  /** "host:port" */
  readonly target: string;
  /** A cookie for the client, as the value of Set-Cookie. */
  readonly setCookie: string | undefined;
}

/** How trying came out: an answer, a failure, or the client has gone. */
export type Tried =
  | Begun
  | {
      readonly type: "failed";
      readonly failure: Failure;
      /** "host:port"; empty when there was none. */
      readonly target: string;
    }
  | { readonly type: "gone" };

/** What trying needs. */
export interface AttemptTools {
  readonly forwarder: Forwarder;
  readonly watcher: Watcher;
  readonly clock: Clock;
}

/** Sends a request to its service, as often as that may be tried, until something answers. */
export async function tryUpstream(
  client: ClientSide,
  plan: UpstreamPlan,
  tools: AttemptTools,
): Promise<Tried> {
  const { service } = plan;
  const selection = service.peers.select(plan.facts);
  for (let attempt = 0; ; attempt++) {
    const next = selection.next();
    const picked = next instanceof Promise ? await next : next;
    if (!picked.ok)
      return { type: "failed", failure: picked.failure, target: "" };
    const { peer } = picked;
    const startedAt = plan.onTry === undefined ? 0 : tools.clock.now();
    const startedMs = tools.clock.monotonic();
    const result = await tryTarget(client, plan, peer, tools);
    plan.onTry?.({
      host: peer.address,
      port: peer.port,
      startedAt,
      failure: result.type === "failed" ? result.failure.reason : undefined,
    });
    if (client.response.destroyed || client.response.closed) {
      peer.release();
      if (result.type === "begun") result.end();
      return { type: "gone" };
    }
    if (result.type === "begun") {
      const { answered } = result;
      const { statusCode = 502 } = answered.response;
      peer.answered(statusCode, tools.clock.monotonic() - startedMs);
      const ending =
        answered.type === "upgrade" ? answered.socket : client.response;
      if (ending.destroyed) peer.release();
      else
        ending.once("close", () => {
          peer.release();
        });
      return { ...result, setCookie: selection.setCookie };
    }
    tell(peer, result.failure);
    peer.release();
    if (
      !result.failure.retriable ||
      !client.body.repeatable ||
      attempt >= service.retries
    )
      return result;
  }
}

/** What a failure says about a peer. */
function tell(peer: PickedPeer, { reason, retriable }: Failure): void {
  if (reason === "timed-out") peer.failed("timeout");
  else if (
    reason === "unreachable" ||
    reason === "refused-tls" ||
    // A kept connection that it closed just when it was used again says nothing.
    (reason === "bad-response" && !retriable)
  )
    peer.failed("connection");
}

async function tryTarget(
  client: ClientSide,
  plan: UpstreamPlan,
  { name, address, port }: PickedPeer,
  { forwarder, watcher }: AttemptTools,
): Promise<
  Omit<Begun, "setCookie"> | Extract<Tried, { readonly type: "failed" }>
> {
  const { service, path, headers } = plan;
  const { protocol, agent } = service;
  const target = addressText(address, port);
  let giveUp: (reason?: Error) => void = () => undefined;
  const limits: WaitLimits = {
    connect: service.connectTimeoutMs,
    write: service.writeTimeoutMs,
    read: service.readTimeoutMs,
    client: CLIENT_TIMEOUT_MS,
  };
  let expired: Waiting | undefined;
  const watch = watcher.begin(limits, (waiting) => {
    expired = waiting;
    giveUp(new TimedOut(`${WAITED_FOR[waiting]} for ${limits[waiting]} ms`));
    // Once the answer has begun there is nobody else to tell.
    if (client.response.headersSent) client.response.destroy();
  });
  const onClose = (): void => {
    giveUp();
  };
  client.response.once("close", onClose);
  const leave = (): void => {
    watch.stop();
    client.response.off("close", onClose);
  };
  watch.wait("connect");
  headers.set(
    "Host",
    plan.preservedHost ?? service.hostHeader ?? hostOf(name, port, protocol),
  );
  const connected = await forwarder.connect(
    { protocol, host: address, port, agent },
    {
      method: plan.method,
      path,
      headers,
      framing: client.body.framing(),
    },
    {
      upgrade: client.upgrade !== undefined,
      onRequest: (request) => {
        giveUp = (reason) => request.destroy(reason);
      },
    },
  );
  if (!connected.ok) {
    leave();
    return { type: "failed", failure: connected.failure, target };
  }
  const { call } = connected;
  let listener: (() => void) | undefined;
  const stopSending = client.body.send(call.request, (next) => {
    if (listener === undefined) watch.wait(next === "sent" ? "read" : next);
    else listener();
  });
  const answered = await call.answered;
  if (answered.type === "failed") {
    stopSending();
    leave();
    return {
      type: "failed",
      failure: blame(answered.failure, expired, client.body.exceeded),
      target,
    };
  }
  return {
    type: "begun",
    answered,
    call,
    watch,
    onRequestProgress: (next) => {
      listener = next;
    },
    end: () => {
      stopSending();
      leave();
      // A connection is kept only after a whole request.
      if (!call.request.writableFinished) call.request.destroy();
    },
    target,
  };
}

/** A client that does not go on with its request, or sends too much, is not its upstream's failure. */
function blame(
  failure: Failure,
  expired: Waiting | undefined,
  exceeded: Answer | undefined,
): Failure {
  if (exceeded !== undefined)
    return {
      reason: "body-too-large",
      detail: failure.detail,
      retriable: false,
      answer: exceeded,
    };
  return expired === "client"
    ? { ...failure, reason: "client-timed-out", retriable: false }
    : failure;
}

const WAITED_FOR: Readonly<Record<Waiting, string>> = {
  connect: "the upstream did not accept a connection",
  write: "the upstream did not take the request",
  read: "the upstream did not answer",
  client: "the client did not go on",
};

/** The Host header for an address: its name, and its port unless that is the scheme's own. */
function hostOf(
  host: string,
  port: number,
  protocol: ServedService["protocol"],
): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === (isSecure(protocol) ? 443 : 80) ? name : `${name}:${port}`;
}
