import type { Prepared, PrepareResult } from "../gateway/states.ts";
import { CRASHES } from "../replica/trials.ts";
import type { State } from "../replica/last-good.ts";
import type { PreparedNews } from "./messages.ts";

/** A worker, as far as it matters here. */
export interface Participant {
  /** What it prepares or has prepared. */
  readonly handed:
    { readonly state: State; readonly prepared: boolean } | undefined;
}

/** A state that all workers are to prepare before any serves it. */
export class Attempt {
  readonly state: State;
  /** Resolves with what came of it. */
  readonly result: Promise<PrepareResult>;
  readonly #onProgress: ((done: number, total: number) => void) | undefined;
  readonly #progress = new Map<Participant, number>();
  /** How many workers it must be prepared in, whoever dies meanwhile. */
  #wanted: number;
  #crashes = 0;
  #news: Extract<PreparedNews, { readonly ok: true }> | undefined;
  #prepared: Prepared | undefined;
  #end: (result: PrepareResult) => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;

  constructor(
    state: State,
    wanted: number,
    onProgress: ((done: number, total: number) => void) | undefined,
  ) {
    this.state = state;
    this.#wanted = Math.max(1, wanted);
    this.#onProgress = onProgress;
    this.result = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
  }

  /** What is to be committed, once it is prepared everywhere. */
  get prepared(): Prepared | undefined {
    return this.#prepared;
  }

  /** Tells how far the slowest is. */
  progress(member: Participant, done: number, total: number): void {
    this.#progress.set(member, done);
    this.#onProgress?.(Math.min(...this.#progress.values()), total);
  }

  /** A worker has prepared it. */
  arrived(
    member: Participant,
    news: Extract<PreparedNews, { readonly ok: true }>,
  ): void {
    this.#progress.delete(member);
    this.#news ??= news;
  }

  /** A worker died of it. True when that was enough: it is refused. */
  crashed(member: Participant, how: string): boolean {
    this.#progress.delete(member);
    this.#crashes++;
    if (this.#crashes < CRASHES) return false;
    this.refuse({
      ok: false,
      class: "CRASHED",
      violations: [
        {
          key: "",
          field: "",
          reason: `${CRASHES} workers in a row ended while they prepared it, the last like this: ${how}`,
        },
      ],
    });
    return true;
  }

  /** Those that are left are enough. */
  expectNoMore(): void {
    this.#wanted = 1;
  }

  /** Ends it well when all that must have prepared it have. */
  settle(
    members: readonly Participant[],
    active: readonly Participant[],
  ): void {
    if (this.#prepared !== undefined || this.#news === undefined) return;
    const hasIt = (member: Participant): boolean =>
      member.handed?.state === this.state && member.handed.prepared;
    if (!active.every(hasIt) || members.filter(hasIt).length < this.#wanted)
      return;
    const { degraded, warnings, counts } = this.#news;
    this.#prepared = { ...this.state, degraded, warnings, counts };
    this.#end({ ok: true, prepared: this.#prepared });
  }

  /** Ends it: it cannot be served. */
  refuse(result: Extract<PrepareResult, { readonly ok: false }>): void {
    this.#end(result);
  }

  /** Ends it: nobody wants it any more. */
  cancel(): void {
    this.#fail(new Error("it is not wanted any more"));
  }
}
