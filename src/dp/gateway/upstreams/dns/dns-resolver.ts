import type { Clock, Timer } from "../../../../runtime/clock.ts";
import type { Logger } from "../../../../runtime/logger.ts";
import type { DnsAnswer, NamedAddress, Resolver } from "./answer.ts";
import type { RecordType } from "./ask-server.ts";
import type { Resolved } from "./dns-client.ts";

/** A name that is in use is kept fresh; one that nobody asked for this long is not. */
const IN_USE_MS = 60_000;
/** An answer that is out of date by no more than this is given while a new one is being got. */
const STALE_AT_ONCE_MS = 30_000;
/** A name that does not exist is asked for again after this long. */
const MISSING_MS = 30_000;
/** Where the servers failed: after 1 s, doubled with every failure. */
const FAILED_MS = 1_000;
const MAX_FAILED_MS = 30_000;
/** Shorter times to live are not kept to in the background: 0 is, and means to ask for every use. */
const MIN_TTL_MS = 1_000;
/** How often the background looks whether a name is still to be asked for every time. */
const VOLATILE_MS = 60_000;
/** Names that are remembered without being watched. */
const MAX_NAMES = 10_000;

interface Entry {
  readonly name: string;
  answer: DnsAnswer | undefined;
  /** By the monotonic clock. */
  freshUntilMs: number;
  usedMs: number;
  failures: number;
  /** What kind of records the last answer had. */
  of: RecordType | undefined;
  pending: Promise<DnsAnswer> | undefined;
  timer: Timer | undefined;
  readonly watchers: Set<(answer: DnsAnswer) => void>;
}

/**
 * Remembers what names stand for, as long as their records say, and asks again in the background while they are used. An
 * answer that was good once is given for as long as there is no newer one.
 */
export class DnsResolver implements Resolver {
  readonly #resolve: (name: string, last?: RecordType) => Promise<Resolved>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #entries = new Map<string, Entry>();
  #closed = false;

  constructor(options: {
    readonly resolve: (name: string, last?: RecordType) => Promise<Resolved>;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#resolve = options.resolve;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  lookup(name: string): DnsAnswer | Promise<DnsAnswer> {
    const entry = this.#entry(name);
    const nowMs = this.#clock.monotonic();
    entry.usedMs = nowMs;
    const { answer } = entry;
    if (answer === undefined) return this.#refresh(entry);
    if (answer.ok && answer.volatile && entry.failures === 0)
      return this.#refresh(entry);
    const lateMs = nowMs - entry.freshUntilMs;
    if (lateMs < 0) return answer;
    const refreshed = this.#refresh(entry);
    return answer.ok && lateMs < STALE_AT_ONCE_MS ? answer : refreshed;
  }

  watch(name: string, onAnswer: (answer: DnsAnswer) => void): () => void {
    const entry = this.#entry(name);
    entry.watchers.add(onAnswer);
    if (entry.answer !== undefined) onAnswer(entry.answer);
    // One that nobody has used for a while.
    if (entry.timer === undefined) void this.#refresh(entry);
    return () => {
      entry.watchers.delete(onAnswer);
    };
  }

  /** Asks nothing in the background from now on. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#entries.values()) timer?.cancel();
  }

  #entry(name: string): Entry {
    let entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    if (this.#entries.size >= MAX_NAMES) this.#forgetOne();
    entry = {
      name,
      answer: undefined,
      freshUntilMs: 0,
      usedMs: 0,
      failures: 0,
      of: undefined,
      pending: undefined,
      timer: undefined,
      watchers: new Set(),
    };
    this.#entries.set(name, entry);
    return entry;
  }

  /** The first that came of those that nobody watches or waits for. */
  #forgetOne(): void {
    for (const [name, { watchers, pending, timer }] of this.#entries)
      if (watchers.size === 0 && pending === undefined) {
        timer?.cancel();
        this.#entries.delete(name);
        return;
      }
  }

  #refresh(entry: Entry): Promise<DnsAnswer> {
    entry.timer?.cancel();
    entry.timer = undefined;
    entry.pending ??= this.#resolve(entry.name, entry.of)
      .catch((error: unknown) => ({
        type: "failed" as const,
        detail: String(error),
      }))
      .then((resolved) => {
        entry.pending = undefined;
        return this.#settle(entry, resolved);
      });
    return entry.pending;
  }

  #settle(entry: Entry, resolved: Resolved): DnsAnswer {
    const before = entry.answer;
    const { answer, holdsMs } =
      resolved.type === "records"
        ? this.#found(entry, resolved)
        : this.#failed(entry, resolved);
    entry.answer = answer;
    entry.freshUntilMs = this.#clock.monotonic() + holdsMs;
    this.#later(entry, holdsMs);
    if (answer !== before)
      for (const watcher of entry.watchers) watcher(answer);
    return answer;
  }

  #found(
    entry: Entry,
    { records, of }: Extract<Resolved, { readonly type: "records" }>,
  ): { readonly answer: DnsAnswer; readonly holdsMs: number } {
    if (entry.failures > 0 && entry.answer?.ok === true)
      this.#logger.info("dns.recovered", { name: entry.name });
    entry.failures = 0;
    entry.of = of;
    const ttlMs =
      Math.min(...records.map(({ ttlSeconds }) => ttlSeconds)) * 1000;
    const answer: DnsAnswer = {
      ok: true,
      volatile: ttlMs === 0,
      addresses: records.map(addressOf).sort(byAddress),
    };
    return {
      answer: sameAnswer(entry.answer, answer) ? entry.answer : answer,
      holdsMs: ttlMs === 0 ? VOLATILE_MS : Math.max(MIN_TTL_MS, ttlMs),
    };
  }

  #failed(
    entry: Entry,
    { type, detail }: Exclude<Resolved, { readonly type: "records" }>,
  ): { readonly answer: DnsAnswer; readonly holdsMs: number } {
    const missing = type === "missing";
    entry.of = undefined;
    const holdsMs = missing
      ? MISSING_MS
      : Math.min(MAX_FAILED_MS, FAILED_MS * 2 ** Math.min(entry.failures, 9));
    if (entry.failures++ === 0)
      this.#logger.warn("dns.failing", {
        name: entry.name,
        detail,
        ...(entry.answer?.ok === true ? { serving: "the last answer" } : {}),
      });
    const { answer } = entry;
    if (answer !== undefined && (answer.ok || answer.missing === missing))
      return { answer, holdsMs };
    return { answer: { ok: false, missing, detail }, holdsMs };
  }

  /** Asks again when the answer is out of date, if it is still wanted then. */
  #later(entry: Entry, delayMs: number): void {
    entry.timer?.cancel();
    if (this.#closed) return;
    entry.timer = this.#clock.setTimer(delayMs, () => {
      entry.timer = undefined;
      const idleMs = this.#clock.monotonic() - entry.usedMs;
      if (entry.watchers.size > 0 || idleMs <= Math.max(IN_USE_MS, delayMs))
        void this.#refresh(entry);
    });
  }
}

function addressOf({
  address,
  service,
}: Extract<Resolved, { type: "records" }>["records"][number]): NamedAddress {
  if (service === undefined) return { address };
  const { name, port, weight } = service;
  return { address, service: { name, port, weight } };
}

/** One order for all: that of the answer changes from one to the next. */
function byAddress(a: NamedAddress, b: NamedAddress): number {
  const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function sameAnswer(
  before: DnsAnswer | undefined,
  answer: DnsAnswer,
): before is DnsAnswer {
  return (
    before !== undefined && JSON.stringify(before) === JSON.stringify(answer)
  );
}
