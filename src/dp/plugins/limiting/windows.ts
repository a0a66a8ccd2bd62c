import { WINDOWS, type Window } from "../../../model/plugins/windows.ts";

/** One limit: so much in a window of the clock. */
export interface WindowLimit {
  readonly window: Window;
  readonly limit: number;
}

/** When a window began and when it ends, in milliseconds since the Unix epoch. */
export interface WindowSpan {
  readonly startMs: number;
  readonly endMs: number;
}

const FIXED_MS: Readonly<Partial<Record<Window, number>>> = {
  second: 1_000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
};

/** The window that a time is in. Windows begin with the clock's second, minute … and year, in UTC. */
export function spanOf(window: Window, nowMs: number): WindowSpan {
  const fixed = FIXED_MS[window];
  if (fixed !== undefined) {
    const startMs = Math.floor(nowMs / fixed) * fixed;
    return { startMs, endMs: startMs + fixed };
  }
  const now = new Date(nowMs);
  const year = now.getUTCFullYear();
  if (window === "year")
    return { startMs: Date.UTC(year, 0), endMs: Date.UTC(year + 1, 0) };
  const month = now.getUTCMonth();
  return { startMs: Date.UTC(year, month), endMs: Date.UTC(year, month + 1) };
}

/** The limits that are set, the shortest window first. */
export function limitsOf(
  config: Readonly<Partial<Record<Window, number | undefined>>>,
): readonly WindowLimit[] {
  return WINDOWS.flatMap((window) => {
    const limit = config[window];
    return limit === undefined ? [] : [{ window, limit }];
  });
}

/** The whole seconds until a window ends, at least 1. */
export function secondsLeft({ endMs }: WindowSpan, nowMs: number): number {
  return Math.max(1, Math.ceil((endMs - nowMs) / 1000));
}

/** "second" as in "X-RateLimit-Limit-Second". */
export function titleOf(window: Window): string {
  return window.slice(0, 1).toUpperCase() + window.slice(1);
}
