import { ConfigError } from "./violation.ts";
import type { Weight } from "./message-weight.ts";

/** What a request may hold, so that its decoding takes a bounded amount of memory. */
export interface MessageLimits {
  /** Messages in one list of its own. */
  readonly list: number;
  /** See {@link Weight.objects}. */
  readonly objects: number;
  /** What to do about a list that is longer. */
  readonly advice: string;
}

/** @throws ConfigError RESOURCE_EXHAUSTED when a request holds more than it may. */
export function refuseHeavy(
  { lists, objects }: Weight,
  limits: MessageLimits,
): void {
  for (const [name, count] of lists) refuseLong({ name, count, limits });
  if (objects > limits.objects)
    throw new ConfigError(
      "resource_exhausted",
      `a request may hold ${limits.objects} messages and elements of lists in all, and this one has ${objects}: ${limits.advice}`,
    );
}

/** @throws ConfigError RESOURCE_EXHAUSTED when a list of a request has more than it may. */
export function refuseLong({
  name,
  count,
  limits,
}: {
  readonly name: string;
  readonly count: number;
  readonly limits: MessageLimits;
}): void {
  if (count > limits.list)
    throw new ConfigError(
      "resource_exhausted",
      `a request may have ${limits.list} ${name}, and this one has ${count}: ${limits.advice}`,
    );
}
