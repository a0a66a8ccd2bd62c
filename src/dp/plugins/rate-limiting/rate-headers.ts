import type { Usage } from "../limiting/usage.ts";
import {
  secondsLeft,
  titleOf,
  type WindowLimit,
  type WindowSpan,
} from "../limiting/windows.ts";

/** Headers by name. */
export type RateHeaders = Readonly<Record<string, string>>;

/**
 * What a client is told: each limit and what is left of it, and of the tightest one when it begins anew. That one has the
 * least left; of two that have the same left, it is the longer.
 */
export function rateHeaders(
  windows: readonly (WindowLimit & { readonly span: WindowSpan })[],
  { before, taken }: Usage,
  nowMs: number,
): { readonly headers: RateHeaders; readonly retryAfter: number } {
  const headers: Record<string, string> = {};
  let tightest = { limit: 0, remaining: Infinity, reset: 1 };
  for (const [i, { window, limit, span }] of windows.entries()) {
    const unused = limit - (before[i] ?? 0);
    // A request that is refused uses up nothing.
    const remaining = Math.max(0, Math.floor(taken ? unused - 1 : unused));
    headers[`X-RateLimit-Limit-${titleOf(window)}`] = String(limit);
    headers[`X-RateLimit-Remaining-${titleOf(window)}`] = String(remaining);
    if (remaining <= tightest.remaining)
      tightest = { limit, remaining, reset: secondsLeft(span, nowMs) };
  }
  const { limit, remaining, reset } = tightest;
  headers["RateLimit-Limit"] = String(limit);
  headers["RateLimit-Remaining"] = String(remaining);
  headers["RateLimit-Reset"] = String(reset);
  return { headers, retryAfter: reset };
}
