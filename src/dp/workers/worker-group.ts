import type { Cursor } from "../../gen/holdfast/config/v1/cursor_pb.js";
import type { Feature } from "../../model/features.ts";
import type { HostPort } from "../../runtime/host-port.ts";
import type { RevisionCount } from "../gateway/counters.ts";
import type { Explained } from "../gateway/explain/explain.ts";
import type { ExplainQuestion } from "../gateway/explain/question.ts";
import type { Prepared, PrepareResult } from "../gateway/states.ts";
import type { Degradation } from "../gateway/runtime.ts";
import type { UpstreamView } from "../gateway/upstreams/view.ts";
import type { ProxyGateway } from "../proxy-gateway.ts";
import type { State } from "../replica/last-good.ts";
import { Attempt } from "./attempt.ts";
import { CrashCount } from "./crash-count.ts";
import { Crew, type CrewOptions, type WorkerStatus } from "./crew.ts";
import { Doors } from "./doors.ts";
import type { GroupMetrics } from "./group-metrics.ts";
import type { Member } from "./member.ts";
import type { PreparedNews } from "./messages.ts";

/**
 * Processes that proxy with the same state: a next one is prepared in all of them before any serves it. One that dies or
 * hangs is replaced, and its replacement listens when it serves what the others do.
 */
export class WorkerGroup implements ProxyGateway {
  readonly #options: CrewOptions;
  readonly #crew: Crew;
  readonly #doors = new Doors();
  readonly #crashes = new CrashCount();
  #serving: { readonly state: State; readonly prepared: Prepared } | undefined;
  #attempt: Attempt | undefined;
  /** What was served when it was found that workers crash with it. */
  #guilty: State | undefined;
  #onGuilty: ((cursor: Cursor) => void) | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: CrewOptions) {
    this.#options = options;
    const doors = this.#doors;
    this.#crew = new Crew(options, {
      wanted: () => ({
        serving: this.#serving?.state,
        next: this.#attempt?.state,
        listens: doors.at !== undefined,
      }),
      get at() {
        return doors.at;
      },
      progressed: (member, state, done, total) => {
        if (this.#attempt?.state === state)
          this.#attempt.progress(member, done, total);
      },
      prepared: (member, state, news) => {
        this.#prepared(member, state, news);
      },
      listened: (member, news) => {
        doors.tried(member, news);
      },
      alive: ({ cursor }, servedMs) => {
        this.#crashes.alive(cursor.root, servedMs);
      },
      lost: (member, how, isCrash) => {
        if (isCrash) this.#crashed(member, how);
        this.#settle();
      },
    });
  }

  /**
   * Starts the workers. They do not listen yet.
   *
   * @throws Error when the first ones cannot be set up.
   */
  static async start(options: CrewOptions): Promise<WorkerGroup> {
    const group = new WorkerGroup(options);
    try {
      await group.#crew.complete();
    } catch (error) {
      await group.close();
      throw error;
    }
    return group;
  }

  get features(): readonly Feature[] {
    return this.#crew.features;
  }

  get serving(): Cursor | undefined {
    return this.#serving?.state.cursor;
  }

  get degraded(): readonly Degradation[] {
    return this.#serving?.prepared.degraded ?? [];
  }

  get address(): string {
    return this.#listening?.listening?.address ?? "";
  }

  get tlsAddress(): string {
    return this.#listening?.listening?.tlsAddress ?? "";
  }

  /** The data plane's numbers and those of all workers, on one page. */
  get metrics(): GroupMetrics {
    return this.#crew.metrics;
  }

  /** The workers, by number. */
  get workers(): readonly WorkerStatus[] {
    return this.#crew.status;
  }

  async prepare(
    state: State,
    onProgress?: (done: number, total: number) => void,
  ): Promise<PrepareResult> {
    this.#giveUp();
    const { active, patience } = this.#crew;
    const attempt = new Attempt(state, active.length, onProgress);
    this.#attempt = attempt;
    this.#crew.changed();
    const wait = this.#options.clock.setTimer(patience.silenceMs, () => {
      // A replacement that does not come must not keep the others behind.
      attempt.expectNoMore();
      this.#settle();
    });
    try {
      return await attempt.result;
    } finally {
      wait.cancel();
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
    this.#crew.changed();
    await this.#crew.until(() => this.#isServed(state));
  }

  /** Has somebody hear when workers crash again and again with what is served, which has not proved itself. */
  onGuilty(listener: (cursor: Cursor) => void): void {
    this.#onGuilty = listener;
    if (this.#guilty !== undefined) listener(this.#guilty.cursor);
  }

  /** Serves nothing any more. Workers that do are replaced. */
  clear(): void {
    this.#serving = undefined;
    for (const member of this.#crew.members)
      if (member.serving !== undefined)
        member.kill("what it serves is quarantined");
    this.#crew.changed();
  }

  drop({ root }: Cursor): void {
    if (this.#attempt?.state.cursor.root === root) this.#giveUp();
  }

  async open(listen: HostPort, tlsListen?: HostPort): Promise<void> {
    await this.#doors.open(this.#crew, listen, tlsListen);
  }

  async explain(question: ExplainQuestion): Promise<Explained> {
    for (const member of this.#crew.members) {
      if (member.serving === undefined) continue;
      const answer = await member.explain(question);
      if (answer.type === "answer") return answer.value;
    }
    return { ok: false, reason: "no worker serves a configuration yet" };
  }

  reopenLogs(): void {
    for (const member of this.#crew.members) member.reopenLogs();
  }

  upstreams(): readonly UpstreamView[] {
    // All share what they find out: one speaks for all.
    return this.#listening?.upstreams ?? [];
  }

  takeCounters(): RevisionCount[] {
    return this.#crew.counts.take();
  }

  close(): Promise<void> {
    this.#attempt?.cancel();
    this.#closing ??= this.#crew.close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #listening(): Member | undefined {
    return this.#crew.members.find(({ listening }) => listening !== undefined);
  }

  /** Whether all that listen serve a state, and anybody does; or whether that is not to be waited for any more. */
  #isServed(state: State): boolean {
    const { members, isClosing } = this.#crew;
    if (this.#serving?.state !== state || this.#guilty === state || isClosing)
      return true;
    const listens = this.#doors.at !== undefined;
    return (
      members.some(({ serving }) => serving === state) &&
      members.every(
        ({ serving, listening }) =>
          serving === state || (listens && listening === undefined),
      )
    );
  }

  #prepared(member: Member, state: State, news: PreparedNews): void {
    const attempt = this.#attempt?.state === state ? this.#attempt : undefined;
    if (news.ok) {
      attempt?.arrived(member, news);
      this.#settle();
    } else if (news.class === "BROKEN") member.kill(news.reason);
    else if (attempt === undefined)
      member.kill(
        `it refuses what the others serve: ${news.class}, ${news.violations[0]?.reason ?? ""}`,
      );
    else {
      attempt.refuse({ ...news, class: news.class });
      this.#giveUp();
    }
  }

  /** What it was taking up is to blame, or else what it served. */
  #crashed(member: Member, how: string): void {
    const attempt = this.#attempt;
    const { handed, serving } = member;
    // One that was prepared and is what all are to serve was being taken up.
    const blamed =
      handed !== undefined &&
      (!handed.prepared || handed.state === this.#serving?.state)
        ? handed.state
        : serving;
    if (blamed === undefined) return;
    if (blamed === attempt?.state) {
      if (attempt.crashed(member, how)) this.#giveUp();
    } else if (
      blamed === this.#serving?.state &&
      this.#crashes.crashed(blamed.cursor.root)
    ) {
      this.#guilty = blamed;
      this.#onGuilty?.(blamed.cursor);
    }
  }

  #settle(): void {
    this.#attempt?.settle(this.#crew.members, this.#crew.active);
  }

  /** What is being prepared is not wanted any more, in no worker. */
  #giveUp(): void {
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    this.#attempt = undefined;
    attempt.cancel();
    for (const member of this.#crew.members)
      if (member.handed?.state === attempt.state) member.drop();
    this.#crew.changed();
  }
}
