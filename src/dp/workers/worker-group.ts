import type { Registry } from "prom-client";
import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Feature } from "../../model/features.ts";
import type { Clock } from "../../runtime/clock.ts";
import { ListenError, type HostPort } from "../../runtime/host-port.ts";
import type { Logger, LogLevel } from "../../runtime/logger.ts";
import type { RevisionCount } from "../gateway/counters.ts";
import type { Explained } from "../gateway/explain/explain.ts";
import type { ExplainQuestion } from "../gateway/explain/question.ts";
import type { Prepared, PrepareResult } from "../gateway/gateway.ts";
import type { Degradation } from "../gateway/runtime.ts";
import type { UpstreamView } from "../gateway/upstreams/view.ts";
import type { GatewaySettings, Plain } from "../gateway/settings.ts";
import { LocalCounters } from "../plugins/counters.ts";
import type { ProxyGateway } from "../proxy-gateway.ts";
import type { State } from "../replica/last-good.ts";
import { Attempt } from "./attempt.ts";
import { CrashCount } from "./crash-count.ts";
import { withPorts } from "./free-port.ts";
import { countWorkers, GroupMetrics } from "./group-metrics.ts";
import { Member, type Patience } from "./member.ts";
import type { FromWorker, ListenAt } from "./messages.ts";
import { nextStep } from "./next-step.ts";
import { Place } from "./place.ts";
import { RevisionCounts } from "./revision-counts.ts";
import { SharedHealth } from "./shared-health.ts";
import { Signal } from "./signal.ts";

export interface WorkerGroupOptions {
  /** How many workers. */
  readonly count: number;
  readonly logLevel: LogLevel;
  readonly gateway: Plain<GatewaySettings>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The data plane's own. */
  readonly metrics: Registry;
  readonly random: () => number;
  /** Default: asked every second, killed after 10 s without an answer or 30 s without a word of a state. */
  readonly patience?: Partial<Patience>;
}

const PATIENCE: Patience = {
  heartbeatMs: 1_000,
  heartbeats: 10,
  silenceMs: 30_000,
};
/** What closing takes besides the grace time of requests. */
const CLOSE_MS = 2_000;
const DEFAULT_GRACE_MS = 5_000;
/** Somebody may take a free port before workers listen on it. */
const PORT_TRIES = 3;

type Refused = Extract<FromWorker, { readonly type: "notListening" }>;

/** A worker as people see it. */
export interface WorkerStatus {
  readonly worker: number;
  readonly state: "starting" | "serving" | "down";
  readonly pid: number | undefined;
  readonly sinceMs: number | undefined;
  readonly restarts: number;
  readonly revision: bigint | undefined;
  readonly lastEnd: string | undefined;
}

/**
 * Processes that proxy with the same state: a next one is prepared in all of them before any serves it. One that dies or
 * hangs is replaced, and its replacement listens when it serves what the others do.
 */
export class WorkerGroup implements ProxyGateway {
  readonly #options: WorkerGroupOptions;
  readonly #places: readonly Place[];
  readonly #signal = new Signal();
  readonly #counters: LocalCounters;
  readonly #counts = new RevisionCounts();
  readonly #stop = new AbortController();
  /** The data plane's numbers and those of all workers, on one page. */
  readonly metrics: GroupMetrics;
  readonly #crashes = new CrashCount();
  readonly #health = new SharedHealth(() => [...this.#members]);
  #onGuilty: ((cursor: Cursor) => void) | undefined;
  /** Set up, and not known to be gone. */
  readonly #members = new Set<Member>();
  #features: readonly Feature[] = [];
  #serving: { readonly state: State; readonly prepared: Prepared } | undefined;
  #attempt: Attempt | undefined;
  /** What was served when it was found that workers crash with it. */
  #guilty: State | undefined;
  #listen: ListenAt | undefined;
  #refused: Refused | undefined;
  #startFailure: string | undefined;
  /** Whether it has listened. */
  #isOpen = false;
  #running: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  private constructor(options: WorkerGroupOptions) {
    this.#options = options;
    this.#counters = new LocalCounters(options);
    this.metrics = new GroupMetrics({
      own: options.metrics,
      clock: options.clock,
      members: () => [...this.#members],
      signal: this.#stop.signal,
    });
    countWorkers(options.metrics, () => this.workers);
    this.#places = Array.from(
      { length: options.count },
      (_, i) =>
        new Place({
          ...options,
          number: i + 1,
          hire: (number) => this.#hire(number),
          lead: (member) => this.#lead(member),
          onLost: (member, how, isCrash) => {
            this.#lost(member, how, isCrash);
          },
        }),
    );
  }

  /**
   * Starts the workers. They do not listen yet.
   *
   * @throws Error when the first ones cannot be set up.
   */
  static async start(options: WorkerGroupOptions): Promise<WorkerGroup> {
    const group = new WorkerGroup(options);
    const { signal } = group.#stop;
    group.#running = Promise.all(
      group.#places.map((place) => place.run(signal)),
    );
    try {
      await group.#until(() => {
        if (group.#startFailure !== undefined)
          throw new Error(`the workers do not start: ${group.#startFailure}`);
        return group.#members.size === options.count;
      });
    } catch (error) {
      await group.close();
      throw error;
    }
    return group;
  }

  get features(): readonly Feature[] {
    return this.#features;
  }

  get serving(): Cursor | undefined {
    return this.#serving?.state.cursor;
  }

  get degraded(): readonly Degradation[] {
    return this.#serving?.prepared.degraded ?? [];
  }

  get address(): string {
    return this.#listening?.address ?? "";
  }

  get tlsAddress(): string {
    return this.#listening?.tlsAddress ?? "";
  }

  /** The workers, by number. */
  get workers(): readonly WorkerStatus[] {
    return this.#places.map(({ number, member, restarts, lastEnd }) => ({
      worker: number,
      state:
        member === undefined
          ? "down"
          : this.#isActive(member)
            ? "serving"
            : "starting",
      pid: member?.pid,
      sinceMs: member?.sinceMs,
      restarts,
      revision: member?.serving?.cursor.revision,
      lastEnd,
    }));
  }

  async prepare(
    state: State,
    onProgress?: (done: number, total: number) => void,
  ): Promise<PrepareResult> {
    this.#giveUp();
    const attempt = new Attempt(state, this.#active().length, onProgress);
    this.#attempt = attempt;
    this.#signal.raise();
    const { clock } = this.#options;
    const patience = clock.setTimer(this.#patience.silenceMs, () => {
      // A replacement that does not come must not keep the others behind.
      attempt.expectNoMore();
      this.#settle();
    });
    try {
      const result = await attempt.result;
      if (!result.ok && this.#attempt === attempt) this.#giveUp();
      return result;
    } finally {
      patience.cancel();
    }
  }

  async commit(prepared: Prepared): Promise<void> {
    const attempt = this.#attempt;
    if (attempt?.prepared !== prepared)
      throw new TypeError("this state was not prepared by these workers");
    const { state } = attempt;
    this.#serving = { state, prepared };
    this.#attempt = undefined;
    this.#crashes.begin(state.cursor.root);
    this.#signal.raise();
    // Those that listen must all have it, and somebody must.
    await this.#until(() => {
      if (
        this.#serving?.state !== state ||
        this.#guilty === state ||
        this.#closing !== undefined
      )
        return true;
      const members = [...this.#members];
      return (
        members.some(({ serving }) => serving === state) &&
        members.every(
          ({ serving, listening }) =>
            serving === state ||
            (this.#listen !== undefined && listening === undefined),
        )
      );
    });
  }

  /** Has somebody hear when workers crash again and again with what is served, which has not proved itself. */
  onGuilty(listener: (cursor: Cursor) => void): void {
    this.#onGuilty = listener;
    if (this.#guilty !== undefined) listener(this.#guilty.cursor);
  }

  /** Serves nothing any more. Workers that do are replaced. */
  clear(): void {
    this.#serving = undefined;
    for (const member of this.#members)
      if (member.serving !== undefined)
        member.kill("what it serves is quarantined");
    this.#signal.raise();
  }

  drop({ root }: Cursor): void {
    if (this.#attempt?.state.cursor.root === root) this.#giveUp();
  }

  async open(listen: HostPort, tlsListen?: HostPort): Promise<void> {
    const wanted = [listen, ...(tlsListen === undefined ? [] : [tlsListen])];
    const mayDiffer = wanted.some(({ port }) => port === 0);
    for (let tries = 1; ; tries++) {
      const [plain = listen, secure] = await withPorts(wanted);
      const refused = await this.#listenAt(
        secure === undefined ? [plain] : [plain, secure],
      );
      if (refused === undefined) break;
      this.#listen = undefined;
      const isTaken = refused.code === "EADDRINUSE";
      if (!isTaken || !mayDiffer || tries === PORT_TRIES)
        throw new ListenError(refused.listen, new Error(refused.reason));
    }
    this.#isOpen = true;
  }

  async explain(question: ExplainQuestion): Promise<Explained> {
    for (const member of this.#members) {
      if (member.serving === undefined) continue;
      const answer = await member.explain(question);
      if (answer.type === "answer") return answer.value;
    }
    return { ok: false, reason: "no worker serves a configuration yet" };
  }

  reopenLogs(): void {
    for (const member of this.#members) member.reopenLogs();
  }

  upstreams(): readonly UpstreamView[] {
    // All share what they find out: one speaks for all.
    return (
      [...this.#members].find(({ listening }) => listening !== undefined)
        ?.upstreams ?? []
    );
  }

  takeCounters(): RevisionCount[] {
    return this.#counts.take();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #patience(): Patience {
    return { ...PATIENCE, ...this.#options.patience };
  }

  async #listenAt(at: ListenAt): Promise<Refused | undefined> {
    this.#refused = undefined;
    this.#listen = at;
    this.#signal.raise();
    let refused: Refused | undefined;
    await this.#until(() => {
      refused = this.#refused;
      return (
        refused !== undefined ||
        [...this.#members].every(({ listening }) => listening !== undefined)
      );
    });
    return refused;
  }

  get #listening(): Member["listening"] {
    return [...this.#members].find(({ listening }) => listening !== undefined)
      ?.listening;
  }

  async #close(): Promise<void> {
    const { clock, gateway } = this.#options;
    this.#stop.abort();
    this.#attempt?.cancel();
    this.#signal.raise();
    const members = this.#places.flatMap(({ member }) => member ?? []);
    for (const member of members)
      if (this.#members.has(member)) member.close();
      else member.kill("nothing is to be set up any more");
    const deadline = clock.setTimer(
      (gateway.graceMs ?? DEFAULT_GRACE_MS) + CLOSE_MS,
      () => {
        for (const member of members) member.kill("it took too long to end");
      },
    );
    await this.#running;
    deadline.cancel();
  }

  #hire(number: number): Member {
    const { clock, gateway, logLevel } = this.#options;
    return new Member({
      settings: { number, logLevel, gateway },
      patience: this.#patience,
      counters: this.#counters,
      clock,
      onChange: () => {
        this.#signal.raise();
      },
      onCounts: (counts) => {
        this.#counts.add(counts);
      },
      onObserved: (member, event) => {
        this.#health.observed(member, event);
      },
      onAlive: ({ serving, servingSinceMs }) => {
        if (serving !== undefined)
          this.#crashes.alive(
            serving.cursor.root,
            clock.monotonic() - servingSinceMs,
          );
      },
    });
  }

  /** Brings a worker to what is wanted and keeps it there, until it is gone. */
  async #lead(member: Member): Promise<void> {
    const hello = await member.setUp();
    if (hello.type === "gone") {
      // The first ones tell what is wrong with the settings; later ones have had good ones.
      if (this.#features.length === 0)
        this.#startFailure = member.fault ?? "a worker ended at once";
      this.#signal.raise();
      return;
    }
    this.#features = hello.value;
    this.#members.add(member);
    void this.#health.joined(member);
    this.#signal.raise();
    while (!member.isGone && this.#closing === undefined) {
      const { changed } = this.#signal;
      this.#health.appoint(this.#active());
      const step = nextStep(
        {
          serving: member.serving,
          handed: member.handed,
          isListening: member.listening !== undefined,
        },
        {
          serving: this.#serving?.state,
          next: this.#attempt?.state,
          listens: this.#listen !== undefined && this.#refused === undefined,
          anyServes: this.#active().length > 0,
        },
      );
      switch (step.type) {
        case "prepare":
          await this.#prepareIn(member, step.state);
          break;
        case "commit":
          await member.commit();
          this.#signal.raise();
          break;
        case "listen":
          await this.#listenIn(member);
          break;
        case "wait":
          await changed;
          break;
        default:
          step satisfies never;
      }
    }
    await member.ended;
    this.#members.delete(member);
    await this.metrics.left(member);
    this.#signal.raise();
  }

  async #prepareIn(member: Member, state: State): Promise<void> {
    const answer = await member.prepare(state, (done, total) => {
      if (this.#attempt?.state === state)
        this.#attempt.progress(member, done, total);
    });
    if (answer.type === "gone") return;
    const { value: news } = answer;
    const attempt = this.#attempt?.state === state ? this.#attempt : undefined;
    if (news.ok) {
      attempt?.arrived(member, news);
      this.#settle();
      this.#signal.raise();
    } else if (news.class === "BROKEN") member.kill(news.reason);
    else if (attempt === undefined)
      member.kill(
        `it refuses what the others serve: ${news.class}, ${news.violations[0]?.reason ?? ""}`,
      );
    else attempt.refuse({ ...news, class: news.class });
  }

  async #listenIn(member: Member): Promise<void> {
    if (this.#listen === undefined) return;
    const answer = await member.listen(this.#listen);
    if (answer.type === "gone") return;
    if (answer.value.type === "notListening") {
      // The first time it is the address that is wrong; later somebody has taken it and may give it back.
      if (this.#isOpen) member.kill(`it cannot listen: ${answer.value.reason}`);
      else this.#refused = answer.value;
    }
    this.#signal.raise();
  }

  #lost(member: Member, how: string, isCrash: boolean): void {
    this.#members.delete(member);
    const attempt = this.#attempt;
    const { handed } = member;
    const blamed =
      handed === undefined || handed.prepared ? member.serving : handed.state;
    if (isCrash && blamed !== undefined)
      if (blamed === attempt?.state) attempt.crashed(member, how);
      else if (
        blamed === this.#serving?.state &&
        this.#crashes.crashed(blamed.cursor.root)
      ) {
        this.#guilty = blamed;
        this.#onGuilty?.(blamed.cursor);
      }
    this.#settle();
    this.#signal.raise();
  }

  /** Whether it takes, or is ready to take, requests with what is to be served. */
  #isActive(member: Member): boolean {
    return (
      this.#members.has(member) &&
      !member.isGone &&
      member.serving === this.#serving?.state &&
      (this.#listen === undefined || member.listening !== undefined)
    );
  }

  #active(): readonly Member[] {
    return [...this.#members].filter((member) => this.#isActive(member));
  }

  #settle(): void {
    this.#attempt?.settle([...this.#members], this.#active());
  }

  /** What is being prepared is not wanted any more, in no worker. */
  #giveUp(): void {
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    this.#attempt = undefined;
    attempt.cancel();
    for (const member of this.#members)
      if (member.handed?.state === attempt.state) member.drop();
    this.#signal.raise();
  }

  async #until(isSo: () => boolean): Promise<void> {
    for (;;) {
      const { changed } = this.#signal;
      if (isSo()) return;
      await changed;
    }
  }
}
