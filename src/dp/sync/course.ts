import { backoffMs, type BackoffOptions } from "../../runtime/backoff.ts";
import {
  formatHostPort,
  isLoopback,
  parseHostPort,
  type HostPort,
} from "../../runtime/host-port.ts";
import { LIMITS } from "../../sync/limits.ts";

/** One control plane among those that a node may connect to. */
export interface Candidate {
  readonly target: HostPort;
  /** Whether this node was started with it; else another control plane named it in its Goodbye. */
  readonly isListed: boolean;
  /** `idle`: not tried now. `connecting`: being tried. `connected`: there is a connection. */
  readonly at: "idle" | "connecting" | "connected";
  /** Attempts in a row that came to nothing. */
  readonly failures: number;
  /** Waiting after those, until. */
  readonly backoffUntilMs: number;
  /** It has asked not to be tried before. */
  readonly heldUntilMs: number;
  readonly lastError: string | undefined;
}

/**
 * The way of a node over its control planes, a value. Each that fails is left alone for a time that grows; the others
 * are tried meanwhile, in random order, one shortly after the other.
 */
export interface Course {
  /** By "host:port". */
  readonly candidates: ReadonlyMap<string, Candidate>;
  /** No attempt begins before. */
  readonly gateMs: number;
  /** When the loss of a control plane last made all others worth a try at once. */
  readonly renewedMs: number;
  /** When alternatives were last taken. */
  readonly namedMs: number;
  readonly retry: Retry;
}

/** How to come again. */
export interface Retry extends BackoffOptions {
  /** After a session of this length the backoff begins anew. */
  readonly resetMs: number;
}

/** A number from 0 up to, not including, 1. */
export type Random = () => number;

/** How an attempt, or the connection that it led to, ended. */
export interface Leg {
  readonly reason: string;
  /** How long a control plane had this node, from its Welcome on; absent when it came to none. */
  readonly servedMs?: number;
  /** It asked not to be tried sooner. */
  readonly retryAfterMs?: number;
}

/** What to do now. */
export type Advice =
  | { readonly type: "try"; readonly address: string }
  | { readonly type: "wait"; readonly untilMs: number }
  /** All are being tried: nothing to do until one of them has failed. */
  | { readonly type: "none" };

/** With others left, how long one may take to connect before another is tried beside it. */
export const STAGGER_MS = 1_000;
/** Of those named, so many are looked at. */
const MAX_NAMED = 64;
/** Going on to another is spread over so long: all nodes of one that is lost go on at once. */
const JITTER_MS = 200;
/**
 * The loss of a control plane cuts the waiting for others short, and a Goodbye brings in alternatives, this often and no
 * more: else control planes that welcome and hang up, or send a node round and round, make a loop without a wait.
 */
const RENEW_MS = 10_000;

/** What a node does until a control plane has other wishes. */
export const DEFAULT_RETRY: Retry = {
  initialMs: LIMITS.backoffMinMs,
  maxMs: LIMITS.backoffMaxMs,
  resetMs: LIMITS.backoffResetMs,
};

/** Begins: the first attempt is due now. */
export function beginCourse(listed: readonly HostPort[]): Course {
  if (listed.length === 0)
    throw new TypeError("a data plane needs at least one control plane");
  return {
    candidates: new Map(
      listed.map((target) => [
        formatHostPort(target),
        newCandidate(target, true),
      ]),
    ),
    gateMs: -Infinity,
    renewedMs: -Infinity,
    namedMs: -Infinity,
    retry: DEFAULT_RETRY,
  };
}

/** Whom to try next, and when: of those that are due one that has failed least, at random. */
export function nextAttempt(
  course: Course,
  nowMs: number,
  random: Random,
): Advice {
  const untilMs = nextMsOf(course);
  if (untilMs === undefined) return { type: "none" };
  if (untilMs > nowMs) return { type: "wait", untilMs };
  const due = [...course.candidates].filter(
    ([, candidate]) => candidate.at === "idle" && dueMs(candidate) <= nowMs,
  );
  const least = Math.min(...due.map(([, { failures }]) => failures));
  const best = due.filter(([, { failures }]) => failures === least);
  const [address] = best[Math.floor(random() * best.length)] ?? [];
  return address === undefined ? { type: "none" } : { type: "try", address };
}

/** An attempt was begun. When it is not over soon, another is tried beside it. */
export function attempted(
  course: Course,
  address: string,
  nowMs: number,
): Course {
  return {
    ...withCandidate(course, address, { at: "connecting" }),
    gateMs: nowMs + STAGGER_MS,
  };
}

/** There is a connection; other attempts are given up. */
export function connected(course: Course, address: string): Course {
  const candidates = new Map(
    [...course.candidates].map(([key, candidate]) => [
      key,
      {
        ...candidate,
        at: key === address ? ("connected" as const) : ("idle" as const),
      },
    ]),
  );
  return { ...course, candidates };
}

/** An attempt, or a connection, has ended. */
export function ended(
  course: Course,
  address: string,
  leg: Leg,
  nowMs: number,
  random: Random,
): Course {
  const { servedMs, retryAfterMs = 0 } = leg;
  const wasCalm = servedMs !== undefined && servedMs >= course.retry.resetMs;
  const isRenewed =
    servedMs !== undefined && nowMs - course.renewedMs >= RENEW_MS;
  const candidates = new Map<string, Candidate>();
  for (const [key, candidate] of course.candidates) {
    const failures = wasCalm ? 0 : candidate.failures;
    candidates.set(
      key,
      key === address
        ? {
            ...candidate,
            at: "idle",
            failures: failures + 1,
            backoffUntilMs:
              nowMs + backoffMs(failures + 1, course.retry, random),
            heldUntilMs: nowMs + Math.min(retryAfterMs, LIMITS.retryAfterMs),
            lastError: leg.reason,
          }
        : {
            ...candidate,
            failures,
            backoffUntilMs: isRenewed ? nowMs : candidate.backoffUntilMs,
          },
    );
  }
  return {
    ...course,
    candidates,
    gateMs: nowMs + random() * JITTER_MS,
    renewedMs: isRenewed ? nowMs : course.renewedMs,
  };
}

/**
 * Other control planes that one names take the place of those named before. Only what is an address counts, without TLS
 * only on this machine, and no more than a few.
 */
export function withAlternatives(
  course: Course,
  named: readonly string[],
  nowMs: number,
  options: { readonly loopbackOnly: boolean },
): Course {
  if (named.length === 0 || nowMs - course.namedMs < RENEW_MS) return course;
  const candidates = new Map(
    [...course.candidates].filter(
      ([, { isListed, at }]) => isListed || at !== "idle",
    ),
  );
  const most = candidates.size + LIMITS.alternatives;
  for (const text of named.slice(0, MAX_NAMED)) {
    if (candidates.size >= most) break;
    const parsed = parseHostPort(text);
    if (!parsed.ok || parsed.hostPort.port === 0) continue;
    if (options.loopbackOnly && !isLoopback(parsed.hostPort.host)) continue;
    const key = formatHostPort(parsed.hostPort);
    // One that failed before has not become better by being named.
    candidates.set(
      key,
      course.candidates.get(key) ?? newCandidate(parsed.hostPort, false),
    );
  }
  return { ...course, candidates, namedMs: nowMs };
}

/** When any is tried next; undefined while all are being tried. */
export function nextMsOf({ candidates, gateMs }: Course): number | undefined {
  const idle = [...candidates.values()].filter(({ at }) => at === "idle");
  return idle.length === 0
    ? undefined
    : Math.max(gateMs, Math.min(...idle.map(dueMs)));
}

/** When an idle candidate may be tried. */
export function dueMs(candidate: Candidate): number {
  return Math.max(candidate.backoffUntilMs, candidate.heldUntilMs);
}

function withCandidate(
  course: Course,
  address: string,
  change: Partial<Candidate>,
): Course {
  const candidate = course.candidates.get(address);
  if (candidate === undefined) return course;
  return {
    ...course,
    candidates: new Map(course.candidates).set(address, {
      ...candidate,
      ...change,
    }),
  };
}

function newCandidate(target: HostPort, isListed: boolean): Candidate {
  return {
    target,
    isListed,
    at: "idle",
    failures: 0,
    backoffUntilMs: -Infinity,
    heldUntilMs: -Infinity,
    lastError: undefined,
  };
}
