import type { Problem } from "../problem.ts";

/** The times that limits are for, the shortest first. */
export const WINDOWS = [
  "second",
  "minute",
  "hour",
  "day",
  "month",
  "year",
] as const;

/** A time that a limit is for. */
export type Window = (typeof WINDOWS)[number];

/** A limit for each time that has one. */
export type WindowLimits = Readonly<
  Partial<Record<Window, number | undefined>>
>;

/** What is wrong with a set of limits: none at all, or one that a shorter time's makes pointless. */
export function windowProblems(
  limits: WindowLimits,
  prefix: string,
): Problem[] {
  const given = WINDOWS.flatMap((window) => {
    const limit = limits[window];
    return limit === undefined ? [] : [{ window, limit }];
  });
  if (given.length === 0)
    return [
      {
        field: prefix,
        reason: `at least one of ${WINDOWS.join(", ")} is needed`,
      },
    ];
  return given.flatMap(({ window, limit }, i) => {
    const shorter = given.slice(0, i).find((other) => other.limit > limit);
    return shorter === undefined
      ? []
      : [
          {
            field: prefix === "" ? window : `${prefix}.${window}`,
            reason: `must not be lower than the limit of a ${shorter.window}, ${shorter.limit}, got ${limit}`,
          },
        ];
  });
}
