import type { UpstreamView } from "../gateway/upstreams/view.ts";
import type { Clock, Timer } from "../../runtime/clock.ts";
import type { Feature } from "../../model/features.ts";
import type { HealthEvent } from "../gateway/upstreams/health/upstream-health.ts";
import type { RevisionCount } from "../gateway/counters.ts";
import type { Explained } from "../gateway/explain/explain.ts";
import type { ExplainQuestion } from "../gateway/explain/question.ts";
import type { State } from "../replica/last-good.ts";
import type { SharedCounters } from "../plugins/counters.ts";
import { forkWorker, type Ending, type Forked } from "./fork.ts";
import { Link } from "./link.ts";
import type {
  FromWorker,
  ListenAt,
  ListenNews,
  PreparedNews,
  ToWorker,
  WorkerSettings,
} from "./messages.ts";
import { sendState } from "./send-state.ts";

/** When a worker counts as hanging. */
export interface Patience {
  /** How often a worker is asked for a sign of life. */
  readonly heartbeatMs: number;
  /** So many without an answer in a row, and it is killed. */
  readonly heartbeats: number;
  /** How long it may say nothing of a state that it prepares. */
  readonly silenceMs: number;
}

export interface MemberOptions {
  readonly settings: WorkerSettings;
  readonly patience: Patience;
  readonly counters: SharedCounters;
  readonly clock: Clock;
  /** Something is different: there may be something to do. */
  readonly onChange: () => void;
  readonly onCounts: (counts: readonly RevisionCount[]) => void;
  /** It has found something out about an upstream's address. */
  readonly onObserved: (member: Member, event: HealthEvent) => void;
  /** It lives and has served its state so long. */
  readonly onAlive: (member: Member) => void;
}

/** What became of a request to a worker. */
export type Answer<T> =
  { readonly type: "answer"; readonly value: T } | { readonly type: "gone" };

const GONE = { type: "gone" } as const;

/** What a worker has in hand besides what it serves. */
export interface Handed {
  readonly state: State;
  readonly id: number;
  prepared: boolean;
}

/** One worker as the data plane sees it: its process, and what that has. */
export class Member {
  readonly pid: number;
  readonly sinceMs: number;
  readonly #options: MemberOptions;
  readonly #forked: Forked;
  readonly #link: Link<FromWorker, ToWorker>;
  readonly #waiting = new Map<string, (value: never) => void>();
  readonly #ended: Promise<Ending>;
  #heartbeat: Timer | undefined;
  #unanswered = 0;
  #nextId = 1;
  #gone = false;
  #serving: State | undefined;
  #servingSinceMs = 0;
  #upstreams: readonly UpstreamView[] = [];
  #handed: Handed | undefined;
  #killedFor: string | undefined;
  /** Why it said it could not be set up. */
  #failure: string | undefined;
  /** Hears of what is done for `#handed`. */
  #progress: ((done: number, total: number) => void) | undefined;
  #listening:
    { readonly address: string; readonly tlsAddress: string } | undefined;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.sinceMs = options.clock.monotonic();
    this.#forked = forkWorker();
    this.pid = this.#forked.pid;
    this.#link = new Link(this.#forked.stream, {
      onMessage: (message) => {
        this.#take(message);
      },
      onEnd: () => {
        // A worker that lives and cannot be talked to is of no use.
        this.#forked.kill();
      },
    });
    this.#ended = this.#forked.ended.then((ending) => {
      this.#gone = true;
      this.#heartbeat?.cancel();
      this.#link.close();
      for (const resolve of this.#waiting.values()) resolve(GONE as never);
      this.#waiting.clear();
      options.onChange();
      return ending;
    });
  }

  /** What its process ended with. */
  get ended(): Promise<Ending> {
    return this.#ended;
  }

  get isGone(): boolean {
    return this.#gone;
  }

  /** Why it was killed or could not be set up, if so. */
  get fault(): string | undefined {
    return this.#killedFor ?? this.#failure;
  }

  /** What it serves requests with. */
  get serving(): State | undefined {
    return this.#serving;
  }

  /** The upstreams that it serves, as it last told. */
  get upstreams(): readonly UpstreamView[] {
    return this.#upstreams;
  }

  get servingSinceMs(): number {
    return this.#servingSinceMs;
  }

  /** What it was given beside that. */
  get handed(): Handed | undefined {
    return this.#handed;
  }

  /** Sets it up. Resolves with what it can do. */
  async setUp(): Promise<Answer<readonly Feature[]>> {
    const hello = this.#wait<readonly Feature[]>("hello");
    void this.#link.send({
      type: "settings",
      settings: this.#options.settings,
    });
    const { clock, patience } = this.#options;
    const silence = clock.setTimer(patience.silenceMs, () => {
      this.kill(`it was not set up within ${patience.silenceMs / 1000} s`);
    });
    const answer = await hello;
    silence.cancel();
    if (answer.type === "answer") this.#beat();
    return answer;
  }

  /** Has it prepare a state. Gone also stands for a state that was dropped meanwhile. */
  async prepare(
    state: State,
    onProgress: (done: number, total: number) => void,
  ): Promise<Answer<PreparedNews>> {
    const { clock, patience } = this.#options;
    const handed: Handed = { state, id: this.#nextId++, prepared: false };
    this.drop();
    this.#handed = handed;
    let silence: Timer | undefined;
    const heard = (): void => {
      silence?.cancel();
      silence = clock.setTimer(patience.silenceMs, () => {
        this.kill(
          `it said nothing of the state that it prepares for ${patience.silenceMs / 1000} s`,
        );
      });
    };
    heard();
    this.#progress = (done, total) => {
      heard();
      onProgress(done, total);
    };
    const answered = this.#wait<PreparedNews>(`prepared ${handed.id}`);
    try {
      await sendState(
        this.#link,
        handed.id,
        state,
        this.#serving?.snapshot,
        heard,
        () => this.#handed === handed,
      );
      const answer = await answered;
      if (answer.type === "gone") return answer;
      if (this.#handed !== handed) return GONE;
      handed.prepared = answer.value.ok;
      if (!answer.value.ok) this.#handed = undefined;
      return answer;
    } finally {
      silence?.cancel();
    }
  }

  /** Has it serve what it prepared. */
  async commit(): Promise<Answer<undefined>> {
    const handed = this.#handed;
    if (handed?.prepared !== true)
      throw new TypeError("a worker commits what it has prepared");
    const committed = this.#wait<undefined>(`committed ${handed.id}`);
    void this.#link.send({ type: "commit", id: handed.id });
    const answer = await committed;
    if (answer.type === "answer") {
      this.#serving = handed.state;
      this.#servingSinceMs = this.#options.clock.monotonic();
      if (this.#handed === handed) this.#handed = undefined;
    }
    return answer;
  }

  /** Has it forget what it prepares or prepared. */
  drop(): void {
    const handed = this.#handed;
    if (handed === undefined) return;
    this.#handed = undefined;
    this.#answer(`prepared ${handed.id}`, GONE);
    void this.#link.send({ type: "drop", id: handed.id });
  }

  /** Where it listens; undefined while it does not. */
  get listening():
    { readonly address: string; readonly tlsAddress: string } | undefined {
    return this.#listening;
  }

  /** Has it listen. */
  async listen(at: ListenAt): Promise<Answer<ListenNews>> {
    const listening = this.#wait<ListenNews>("listening");
    void this.#link.send({ type: "listen", at });
    const answer = await listening;
    if (answer.type === "answer" && answer.value.type === "listening")
      this.#listening = answer.value;
    return answer;
  }

  /** What it counts, as prom-client has it. */
  metrics(): Promise<Answer<readonly unknown[]>> {
    const id = this.#nextId++;
    const metrics = this.#wait<readonly unknown[]>(`metrics ${id}`);
    void this.#link.send({ type: "metrics", id });
    return metrics;
  }

  /** Has it take over what another worker has found out, unless it is too slow to. */
  observe(event: HealthEvent): void {
    if (event.state !== undefined || !this.#link.isFull)
      void this.#link.send({ type: "health", event });
  }

  /** Which addresses it knows to be unhealthy. */
  states(): Promise<Answer<readonly HealthEvent[]>> {
    const id = this.#nextId++;
    const states = this.#wait<readonly HealthEvent[]>(`states ${id}`);
    void this.#link.send({ type: "states", id });
    return states;
  }

  /** Has it send the probes. */
  probe(): void {
    void this.#link.send({ type: "probe", on: true });
  }

  /** What would become of a request, by what it serves. */
  explain(question: ExplainQuestion): Promise<Answer<Explained>> {
    const id = this.#nextId++;
    const explained = this.#wait<Explained>(`explained ${id}`);
    void this.#link.send({ type: "explain", id, question });
    return explained;
  }

  /** Has it go on in a new file of the access log. */
  reopenLogs(): void {
    void this.#link.send({ type: "reopenLogs" });
  }

  /** Has it end when its requests have. */
  close(): void {
    void this.#link.send({ type: "close" });
  }

  kill(reason: string): void {
    if (this.#gone) return;
    this.#killedFor ??= reason;
    this.#forked.kill();
  }

  #beat(): void {
    const { clock, patience } = this.#options;
    this.#heartbeat = clock.setTimer(patience.heartbeatMs, () => {
      // Counted, not timed: where this process was stopped itself, no worker is to blame.
      if (this.#unanswered++ >= patience.heartbeats)
        this.kill(
          `it gave no sign of life for ${(patience.heartbeats * patience.heartbeatMs) / 1000} s`,
        );
      else {
        if (!this.#link.isFull) void this.#link.send({ type: "ping" });
        this.#beat();
      }
    });
  }

  #take(message: FromWorker): void {
    const options = this.#options;
    this.#unanswered = 0;
    switch (message.type) {
      case "hello":
        this.#answer("hello", { type: "answer", value: message.features });
        return;
      case "failed":
        this.#failure = message.reason;
        return;
      case "progress":
        if (this.#handed?.id === message.id)
          this.#progress?.(message.done, message.total);
        return;
      case "prepared":
        this.#answer(`prepared ${message.id}`, {
          type: "answer",
          value: message.news,
        });
        return;
      case "committed":
        this.#upstreams = message.upstreams ?? this.#upstreams;
        this.#answer(`committed ${message.id}`, {
          type: "answer",
          value: undefined,
        });
        return;
      case "listening":
      case "notListening":
        this.#answer("listening", { type: "answer", value: message });
        return;
      case "pong":
        this.#upstreams = message.upstreams ?? this.#upstreams;
        options.onCounts(
          message.counts.map(({ revision, requests, errors }) => ({
            revision: BigInt(revision),
            requests: BigInt(requests),
            errors: BigInt(errors),
          })),
        );
        options.onAlive(this);
        return;
      case "count":
        void options.counters.add(message.steps).then((values) => {
          void this.#link.send({ type: "counted", id: message.id, values });
        });
        return;
      case "health":
        options.onObserved(this, message.event);
        return;
      case "states":
        this.#answer(`states ${message.id}`, {
          type: "answer",
          value: message.states,
        });
        return;
      case "explained":
        this.#answer(`explained ${message.id}`, {
          type: "answer",
          value: message.explained,
        });
        return;
      case "metrics":
        this.#answer(`metrics ${message.id}`, {
          type: "answer",
          value: message.metrics,
        });
        return;
      default:
        message satisfies never;
    }
  }

  #wait<T>(key: string): Promise<Answer<T>> {
    if (this.#gone) return Promise.resolve(GONE);
    return new Promise((resolve) => {
      this.#waiting.set(key, resolve);
    });
  }

  #answer(key: string, answer: Answer<unknown>): void {
    const resolve = this.#waiting.get(key);
    this.#waiting.delete(key);
    resolve?.(answer as never);
  }
}
