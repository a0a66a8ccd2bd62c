import type { Registry } from "prom-client";
import type { Feature } from "../../model/features.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger, LogLevel } from "../../runtime/logger.ts";
import type { GatewaySettings, Plain } from "../gateway/settings.ts";
import { LocalCounters } from "../plugins/counters.ts";
import type { State } from "../replica/last-good.ts";
import { countWorkers, GroupMetrics } from "./group-metrics.ts";
import { Member } from "./member.ts";
import type { ListenAt, ListenNews, PreparedNews } from "./messages.ts";
import { nextStep, type Wanted } from "./next-step.ts";
import type { Patience } from "./patience.ts";
import { Place } from "./place.ts";
import { RevisionCounts } from "./revision-counts.ts";
import { SharedHealth } from "./shared-health.ts";
import { Signal } from "./signal.ts";

export interface CrewOptions {
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

/** Who decides what workers do, and hears what becomes of it. */
export interface Lead {
  wanted(): Omit<Wanted, "anyServes">;
  /** Where to listen. */
  readonly at: ListenAt | undefined;
  progressed(member: Member, state: State, done: number, total: number): void;
  prepared(member: Member, state: State, news: PreparedNews): void;
  listened(member: Member, news: ListenNews): void;
  /** It answers, and has served so long what it serves. */
  alive(serving: State, servedMs: number): void;
  /** It has ended, and nobody had asked it to. */
  lost(member: Member, how: string, isCrash: boolean): void;
}

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

const PATIENCE: Patience = {
  heartbeatMs: 1_000,
  heartbeats: 10,
  silenceMs: 30_000,
};
/** What closing takes besides the grace time of requests. */
const CLOSE_MS = 2_000;
const DEFAULT_GRACE_MS = 5_000;

/** The workers: each place has one, which is brought to what is wanted and kept there until it is gone. */
export class Crew {
  readonly patience: Patience;
  /** The data plane's numbers and those of all workers, on one page. */
  readonly metrics: GroupMetrics;
  /** Requests by revision. */
  readonly counts = new RevisionCounts();
  readonly #options: CrewOptions;
  readonly #lead: Lead;
  readonly #places: readonly Place[];
  readonly #signal = new Signal();
  readonly #counters: LocalCounters;
  readonly #stop = new AbortController();
  readonly #health = new SharedHealth(() => this.members);
  /** Set up, and not known to be gone. */
  readonly #members = new Set<Member>();
  readonly #running: Promise<unknown>;
  #features: readonly Feature[] = [];
  #startFailure: string | undefined;

  /** Starts the workers. */
  constructor(options: CrewOptions, lead: Lead) {
    this.#options = options;
    this.#lead = lead;
    this.patience = { ...PATIENCE, ...options.patience };
    this.#counters = new LocalCounters(options);
    const { signal } = this.#stop;
    this.metrics = new GroupMetrics({
      own: options.metrics,
      clock: options.clock,
      members: () => this.members,
      signal,
    });
    this.#places = Array.from({ length: options.count }, (_, i) =>
      this.#place(i + 1),
    );
    countWorkers(options.metrics, () => this.status);
    this.#running = Promise.all(this.#places.map((place) => place.run(signal)));
  }

  /** The workers that are set up. */
  get members(): readonly Member[] {
    return [...this.#members];
  }

  /** Of these, those that take requests, or are ready to, with what is to be served. */
  get active(): readonly Member[] {
    const { serving, listens } = this.#lead.wanted();
    return this.members.filter(
      (member) =>
        !member.isGone &&
        member.serving === serving &&
        (!listens || member.listening !== undefined),
    );
  }

  /** What they can do. */
  get features(): readonly Feature[] {
    return this.#features;
  }

  /** How each is, by number. */
  get status(): readonly WorkerStatus[] {
    const active = new Set(this.active);
    return this.#places.map(({ number, member, restarts, lastEnd }) => ({
      worker: number,
      state:
        member === undefined
          ? "down"
          : active.has(member)
            ? "serving"
            : "starting",
      pid: member?.pid,
      sinceMs: member?.sinceMs,
      restarts,
      revision: member?.serving?.cursor.revision,
      lastEnd,
    }));
  }

  get isClosing(): boolean {
    return this.#stop.signal.aborted;
  }

  /**
   * Resolves when all are set up.
   *
   * @throws Error when the first ones cannot be.
   */
  async complete(): Promise<void> {
    await this.until(() => {
      if (this.#startFailure !== undefined)
        throw new Error(`the workers do not start: ${this.#startFailure}`);
      return this.#members.size === this.#options.count;
    });
  }

  /** Something else is wanted. */
  changed(): void {
    this.#signal.raise();
  }

  /** Resolves when something is so. */
  async until(isSo: () => boolean): Promise<void> {
    for (;;) {
      const { changed } = this.#signal;
      if (isSo()) return;
      await changed;
    }
  }

  /** Has all end when their requests have, or when the grace time is over. */
  async close(): Promise<void> {
    const { clock, gateway } = this.#options;
    this.#stop.abort();
    this.changed();
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

  #place(number: number): Place {
    return new Place({
      ...this.#options,
      number,
      hire: () => this.#hire(number),
      lead: (member) => this.#employ(member),
      onLost: (member, how, isCrash) => {
        this.#lead.lost(member, how, isCrash);
        this.changed();
      },
    });
  }

  #hire(number: number): Member {
    const { clock, gateway, logLevel } = this.#options;
    return new Member({
      settings: { number, logLevel, gateway },
      patience: this.patience,
      counters: this.#counters,
      clock,
      onChange: () => {
        this.changed();
      },
      onCounts: (counts) => {
        this.counts.add(counts);
      },
      onObserved: (member, event) => {
        this.#health.observed(member, event);
      },
      onAlive: ({ serving, servingSinceMs }) => {
        if (serving !== undefined)
          this.#lead.alive(serving, clock.monotonic() - servingSinceMs);
      },
    });
  }

  async #employ(member: Member): Promise<void> {
    const hello = await member.setUp();
    if (hello.type === "gone") {
      // The first ones tell what is wrong with the settings; later ones have had good ones.
      if (this.#features.length === 0)
        this.#startFailure = member.fault ?? "a worker ended at once";
      this.changed();
      return;
    }
    this.#features = hello.value;
    this.#members.add(member);
    void this.#health.joined(member);
    this.changed();
    while (!member.isGone && !this.isClosing) {
      const { changed } = this.#signal;
      const { active } = this;
      this.#health.appoint(active);
      if (!(await this.#step(member, active.length > 0))) await changed;
    }
    await member.ended;
    this.#members.delete(member);
    await this.metrics.left(member);
    this.changed();
  }

  /** Brings a worker nearer to what is wanted. False when there is nothing to do. */
  async #step(member: Member, anyServes: boolean): Promise<boolean> {
    const lead = this.#lead;
    const { serving, handed, listening } = member;
    const step = nextStep(
      { serving, handed, isListening: listening !== undefined },
      { ...lead.wanted(), anyServes },
    );
    switch (step.type) {
      case "prepare": {
        const { state } = step;
        const answer = await member.prepare(state, (done, total) => {
          lead.progressed(member, state, done, total);
        });
        if (answer.type === "answer")
          lead.prepared(member, state, answer.value);
        break;
      }
      case "commit":
        await member.commit();
        break;
      case "listen": {
        const answer = lead.at && (await member.listen(lead.at));
        if (answer?.type === "answer") lead.listened(member, answer.value);
        break;
      }
      case "wait":
        return false;
      default:
        step satisfies never;
    }
    this.changed();
    return true;
  }
}
