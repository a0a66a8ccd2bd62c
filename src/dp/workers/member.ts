import type { UpstreamView } from "../gateway/upstreams/view.ts";
import type { Clock } from "../../runtime/clock.ts";
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
import { Heartbeat, Silence, type Patience } from "./patience.ts";
import { GONE, Questions, type Answer } from "./questions.ts";
import { sendState } from "./send-state.ts";

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
  readonly #questions = new Questions();
  readonly #heartbeat: Heartbeat;
  readonly #ended: Promise<Ending>;
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
    this.#heartbeat = new Heartbeat({
      ...options,
      ask: () => {
        if (!this.#link.isFull) void this.#link.send({ type: "ping" });
      },
      onSilent: (seconds) => {
        this.kill(`it gave no sign of life for ${seconds} s`);
      },
    });
    this.#ended = this.#forked.ended.then((ending) => {
      this.#gone = true;
      this.#heartbeat.stop();
      this.#link.close();
      this.#questions.end();
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
    const hello = this.#questions.ask<readonly Feature[]>("hello");
    void this.#link.send({
      type: "settings",
      settings: this.#options.settings,
    });
    const silence = new Silence(this.#options, (seconds) => {
      this.kill(`it was not set up within ${seconds} s`);
    });
    const answer = await hello;
    silence.end();
    if (answer.type === "answer") this.#heartbeat.begin();
    return answer;
  }

  /** Has it prepare a state. Gone also stands for a state that was dropped meanwhile. */
  async prepare(
    state: State,
    onProgress: (done: number, total: number) => void,
  ): Promise<Answer<PreparedNews>> {
    const handed: Handed = { state, id: this.#nextId++, prepared: false };
    this.drop();
    this.#handed = handed;
    const silence = new Silence(this.#options, (seconds) => {
      this.kill(
        `it said nothing of the state that it prepares for ${seconds} s`,
      );
    });
    this.#progress = (done, total) => {
      silence.heard();
      onProgress(done, total);
    };
    const answered = this.#questions.ask<PreparedNews>(`prepared ${handed.id}`);
    try {
      await sendState(
        this.#link,
        handed.id,
        state,
        this.#serving?.snapshot,
        () => {
          silence.heard();
        },
        () => this.#handed === handed,
      );
      const answer = await answered;
      if (answer.type === "gone") return answer;
      if (this.#handed !== handed) return GONE;
      handed.prepared = answer.value.ok;
      if (!answer.value.ok) this.#handed = undefined;
      return answer;
    } finally {
      silence.end();
    }
  }

  /** Has it serve what it prepared. */
  async commit(): Promise<Answer<undefined>> {
    const handed = this.#handed;
    if (handed?.prepared !== true)
      throw new TypeError("a worker commits what it has prepared");
    const committed = this.#questions.ask<undefined>(`committed ${handed.id}`);
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
    this.#questions.drop(`prepared ${handed.id}`);
    void this.#link.send({ type: "drop", id: handed.id });
  }

  /** Where it listens; undefined while it does not. */
  get listening():
    { readonly address: string; readonly tlsAddress: string } | undefined {
    return this.#listening;
  }

  /** Has it listen. */
  async listen(at: ListenAt): Promise<Answer<ListenNews>> {
    const listening = this.#questions.ask<ListenNews>("listening");
    void this.#link.send({ type: "listen", at });
    const answer = await listening;
    if (answer.type === "answer" && answer.value.type === "listening")
      this.#listening = answer.value;
    return answer;
  }

  /** What it counts, as prom-client has it. */
  metrics(): Promise<Answer<readonly unknown[]>> {
    const id = this.#nextId++;
    const metrics = this.#questions.ask<readonly unknown[]>(`metrics ${id}`);
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
    const states = this.#questions.ask<readonly HealthEvent[]>(`states ${id}`);
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
    const explained = this.#questions.ask<Explained>(`explained ${id}`);
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

  #take(message: FromWorker): void {
    const options = this.#options;
    this.#heartbeat.heard();
    switch (message.type) {
      case "hello":
        this.#questions.answer("hello", message.features);
        return;
      case "failed":
        this.#failure = message.reason;
        return;
      case "progress":
        if (this.#handed?.id === message.id)
          this.#progress?.(message.done, message.total);
        return;
      case "prepared":
        this.#questions.answer(`prepared ${message.id}`, message.news);
        return;
      case "committed":
        this.#upstreams = message.upstreams ?? this.#upstreams;
        this.#questions.answer(`committed ${message.id}`, undefined);
        return;
      case "listening":
      case "notListening":
        this.#questions.answer("listening", message);
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
        this.#questions.answer(`states ${message.id}`, message.states);
        return;
      case "explained":
        this.#questions.answer(`explained ${message.id}`, message.explained);
        return;
      case "metrics":
        this.#questions.answer(`metrics ${message.id}`, message.metrics);
        return;
      default:
        message satisfies never;
    }
  }
}
