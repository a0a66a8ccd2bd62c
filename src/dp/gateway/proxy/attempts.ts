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
import type { Answered, Forwarder } from "./forward.ts";
import type { HeaderBag } from "./header-bag.ts";
import type { SentRequest } from "./messages.ts";
import type { RequestBody, SendProgress } from "./request-body.ts";
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
  /** Set to what is waited for from now on. */
  readonly watch: Watch;
  /** "host:port" */
  readonly target: string;
  /** A cookie for the client, as the value of Set-Cookie. */
  readonly setCookie: string | undefined;
  /** The listener is called for what moved of the request while the answer is relayed already. */
  onRequestProgress(listener: () => void): void;
  /** Ends everything that still goes to the upstream. */
  end(): void;
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
  const selection = plan.service.peers.select(plan.facts);
  for (let left = plan.service.retries; ; left--) {
    const next = selection.next();
    const picked = next instanceof Promise ? await next : next;
    // Gone while the name was looked up: its "close" is over.
    if (isGone(client)) {
      if (picked.ok) picked.peer.release();
      return GONE;
    }
    if (!picked.ok)
      return { type: "failed", failure: picked.failure, target: "" };
    const { peer } = picked;
    const attempt = new Attempt(client, plan, peer, tools);
    let failure: Failure | undefined;
    try {
      failure = await attempt.run();
    } catch (error) {
      // Such as a path that a plugin made and that cannot be sent.
      attempt.end();
      peer.release();
      throw error;
    }
    attempt.tell(failure);
    if (isGone(client)) {
      peer.release();
      if (failure === undefined) attempt.end();
      return GONE;
    }
    if (failure === undefined) {
      attempt.setCookie = selection.setCookie;
      attempt.holdPeer();
      return attempt;
    }
    tell(peer, failure);
    peer.release();
    if (!failure.retriable || !client.body.repeatable || left <= 0)
      return { type: "failed", failure, target: attempt.target };
  }
}

const GONE: Tried = { type: "gone" };

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

/** One attempt, from connecting to the end of the answer. An object and no closures: there is one for each request. */
class Attempt implements Begun {
  readonly type = "begun";
  /** Set when an answer has begun: nobody gets to see the attempt before. */
  answered!: Begun["answered"];
  readonly watch: Watch;
  readonly target: string;
  setCookie: string | undefined;
  readonly #client: ClientSide;
  readonly #plan: UpstreamPlan;
  readonly #peer: PickedPeer;
  readonly #forwarder: Forwarder;
  readonly #clock: Clock;
  readonly #limits: WaitLimits;
  readonly #startedAt: number;
  readonly #startedMs: number;
  #request: SentRequest | undefined;
  #stopSending: (() => void) | undefined;
  #onProgress: (() => void) | undefined;
  #expired: Waiting | undefined;

  constructor(
    client: ClientSide,
    plan: UpstreamPlan,
    peer: PickedPeer,
    { watcher, forwarder, clock }: AttemptTools,
  ) {
    const { service } = plan;
    this.#client = client;
    this.#plan = plan;
    this.#peer = peer;
    this.#forwarder = forwarder;
    this.#clock = clock;
    this.target = addressText(peer.address, peer.port);
    this.#limits = {
      connect: service.connectTimeoutMs,
      write: service.writeTimeoutMs,
      read: service.readTimeoutMs,
      client: CLIENT_TIMEOUT_MS,
    };
    this.#startedAt = plan.onTry === undefined ? 0 : clock.now();
    this.#startedMs = clock.monotonic();
    this.watch = watcher.begin(this.#limits, this.#expire);
    client.response.once("close", this.#giveUp);
    this.watch.wait("connect");
  }

  /** Connects and sends. Undefined when an answer has begun. */
  async run(): Promise<Failure | undefined> {
    const connecting = this.#connect();
    const connected =
      connecting instanceof Promise ? await connecting : connecting;
    if (!connected.ok) {
      this.#leave();
      return connected.failure;
    }
    const { call } = connected;
    this.#stopSending = this.#client.body.send(call.request, this.#progress);
    const answered = await call.answered;
    if (answered.type === "failed") {
      this.#stopSending();
      this.#leave();
      return blame(answered.failure, this.#expired, this.#client.body.exceeded);
    }
    this.answered = answered;
    return undefined;
  }

  /** Tells who wants to hear of attempts. */
  tell(failure: Failure | undefined): void {
    const { address: host, port } = this.#peer;
    this.#plan.onTry?.({
      host,
      port,
      startedAt: this.#startedAt,
      failure: failure?.reason,
    });
  }

  /** The peer has answered, and is busy until the answer is over. */
  holdPeer(): void {
    const { answered } = this;
    const peer = this.#peer;
    const { statusCode = 502 } = answered.response;
    peer.answered(statusCode, this.#clock.monotonic() - this.#startedMs);
    const ending =
      answered.type === "upgrade" ? answered.socket : this.#client.response;
    if (ending.destroyed) peer.release();
    else
      ending.once("close", () => {
        peer.release();
      });
  }

  onRequestProgress(listener: () => void): void {
    this.#onProgress = listener;
  }

  end(): void {
    this.#stopSending?.();
    this.#leave();
    // A connection is kept only after a whole request.
    if (this.#request?.writableFinished === false) this.#request.destroy();
  }

  #connect(): ReturnType<Forwarder["connect"]> {
    const { service, method, path, headers, preservedHost } = this.#plan;
    const { protocol, agent, hostHeader } = service;
    const { name, address: host, port } = this.#peer;
    headers.set(
      "Host",
      preservedHost ?? hostHeader ?? hostOf(name, port, protocol),
    );
    const { body, upgrade } = this.#client;
    return this.#forwarder.connect(
      { protocol, host, port, agent },
      { method, path, headers, framing: body.framing() },
      { upgrade: upgrade !== undefined, onRequest: this.#onRequest },
    );
  }

  #leave(): void {
    this.watch.stop();
    this.#client.response.off("close", this.#giveUp);
  }

  readonly #onRequest = (request: SentRequest): void => {
    this.#request = request;
  };

  /** The client has gone. */
  readonly #giveUp = (): void => {
    this.#request?.destroy();
  };

  readonly #progress = (next: SendProgress): void => {
    if (this.#onProgress !== undefined) this.#onProgress();
    else this.watch.wait(next === "sent" ? "read" : next);
  };

  readonly #expire = (waiting: Waiting): void => {
    this.#expired = waiting;
    this.#request?.destroy(
      new TimedOut(`${WAITED_FOR[waiting]} for ${this.#limits[waiting]} ms`),
    );
    // Once the answer has begun there is nobody else to tell.
    const { response } = this.#client;
    if (response.headersSent) response.destroy();
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

/** A function, for the compiler, which takes a client that was there before a wait to be there after it. */
function isGone({ response }: ClientSide): boolean {
  return response.destroyed || response.closed;
}
