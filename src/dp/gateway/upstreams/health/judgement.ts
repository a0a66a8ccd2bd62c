/** What an observation of a target came to. */
export type HealthOutcome =
  "success" | "http-failure" | "tcp-failure" | "timeout";

/** Observations in a row that change a target's state; 0: never. */
export interface Thresholds {
  readonly successes: number;
  readonly httpFailures: number;
  readonly tcpFailures: number;
  readonly timeouts: number;
}

/** How a target is doing, and what counts towards a change of that. */
export interface Judgement {
  readonly healthy: boolean;
  readonly successes: number;
  readonly httpFailures: number;
  readonly tcpFailures: number;
  readonly timeouts: number;
}

/** Of a target that nothing is known of. */
export const UNJUDGED: Judgement = {
  healthy: true,
  successes: 0,
  httpFailures: 0,
  tcpFailures: 0,
  timeouts: 0,
};

/** Of a target that has just been found unhealthy. */
export const CONDEMNED: Judgement = { ...UNJUDGED, healthy: false };

/**
 * Counts one observation. A success undoes all failures that were counted, a failure all successes; each kind of failure
 * has its own count. The same object comes back when nothing changes.
 */
export function judge(
  before: Judgement,
  outcome: HealthOutcome,
  thresholds: Thresholds,
): Judgement {
  const counter = COUNTERS[outcome];
  const limit = thresholds[counter];
  if (limit === 0) return before;
  if (outcome === "success") {
    if (before.healthy) return hasFailures(before) ? UNJUDGED : before;
    const successes = before.successes + 1;
    return successes >= limit ? UNJUDGED : { ...CONDEMNED, successes };
  }
  if (!before.healthy) return before.successes > 0 ? CONDEMNED : before;
  const count = before[counter] + 1;
  return count >= limit ? CONDEMNED : { ...before, [counter]: count };
}

const COUNTERS = {
  success: "successes",
  "http-failure": "httpFailures",
  "tcp-failure": "tcpFailures",
  timeout: "timeouts",
} as const satisfies Record<HealthOutcome, keyof Thresholds>;

function hasFailures({
  httpFailures,
  tcpFailures,
  timeouts,
}: Judgement): boolean {
  return httpFailures > 0 || tcpFailures > 0 || timeouts > 0;
}
