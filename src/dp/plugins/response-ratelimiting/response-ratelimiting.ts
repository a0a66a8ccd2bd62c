import {
  ResponseRatelimitingConfigSchema,
  type ResponseRatelimitingConfig,
} from "../../../gen/holdfast/plugin/v1/response_ratelimiting_pb.js";
import { ContextKey } from "../context.ts";
import { usageOf } from "../limiting/policy.ts";
import { subjectOf } from "../limiting/subject.ts";
import type { UsageStep } from "../limiting/usage.ts";
import {
  limitsOf,
  spanOf,
  titleOf,
  type WindowLimit,
} from "../limiting/windows.ts";
import {
  definePlugin,
  type Answer,
  type Exchange,
  type PluginEnvironment,
  type PluginHandlers,
  type ResponseHandler,
  type ResponseHead,
} from "../plugin.ts";
import { readUse } from "./header-use.ts";

/** "response-ratelimiting": a client may use so much of things that the upstream counts in a header of its answers. */
export const responseRatelimiting = definePlugin({
  name: "response-ratelimiting",
  version: 1,
  priority: 900,
  schema: ResponseRatelimitingConfigSchema,
  create,
});

/** One limit of one thing. */
interface NamedLimit extends WindowLimit {
  readonly name: string;
}

/** What a client has left of one limit when its request came. */
interface Left extends NamedLimit {
  readonly left: number;
  /** Its counter. */
  readonly step: UsageStep;
}

const LEFT = new ContextKey<readonly Left[]>("response-ratelimiting");
const USED = new ContextKey<ReadonlyMap<string, number>>(
  "response-ratelimiting used",
);

function create(
  config: ResponseRatelimitingConfig,
  environment: PluginEnvironment,
  key: string,
): PluginHandlers {
  const { clock } = environment;
  const limits: readonly NamedLimit[] = Object.entries(config.limits).flatMap(
    ([name, windows]) => limitsOf(windows).map((limit) => ({ name, ...limit })),
  );
  const names = new Set(Object.keys(config.limits));
  const header = config.headerName ?? "x-kong-limit";
  const { store, onFailure, close } = usageOf(config, environment, key);

  const stepsFor = (exchange: Exchange): UsageStep[] => {
    const nowMs = clock.now();
    const subject = subjectOf({ limitBy: config.limitBy }, exchange);
    return limits.map(({ name, window }) => {
      const { startMs, endMs } = spanOf(window, nowMs);
      return {
        key: `${key}:${window}:${startMs}:${name}:${subject}`,
        by: 0,
        limit: Infinity,
        expiresMs: endMs,
      };
    });
  };

  const access = async (exchange: Exchange): Promise<Answer | undefined> => {
    const steps = stepsFor(exchange);
    let before: readonly number[];
    try {
      ({ before } = await store.take(steps));
    } catch (error) {
      return onFailure(error);
    }
    const left = limits.flatMap((limit, i): Left[] => {
      const step = steps[i];
      return step === undefined
        ? []
        : [
            {
              ...limit,
              left: Math.max(0, limit.limit - (before[i] ?? 0)),
              step,
            },
          ];
    });
    exchange.context.set(LEFT, left);
    const violated = left.find((one) => one.left <= 0);
    if (config.blockOnFirstViolation && violated !== undefined)
      return {
        status: 429,
        message: `API rate limit exceeded for '${violated.name}'`,
      };
    for (const name of names)
      exchange.upstream.headers.set(
        `X-RateLimit-Remaining-${name}`,
        String(leastOf(left, name)),
      );
    return undefined;
  };

  /** Counts what the answer used; a client that had nothing left of it is refused after all. */
  const response = (
    { context }: Exchange,
    { headers, fromUpstream }: ResponseHead,
  ): ResponseHandler | undefined => {
    const left = context.get(LEFT);
    if (left === undefined || !fromUpstream) return undefined;
    const used = readUse(headers.get(header), names);
    context.set(USED, used);
    return left.some((one) => one.left <= 0 && used.has(one.name))
      ? { insteadStatus: 429 }
      : undefined;
  };

  const headerFilter = ({ context }: Exchange, head: ResponseHead): void => {
    if (head.fromUpstream) head.headers.delete(header);
    const left = context.get(LEFT);
    if (left === undefined || config.hideClientHeaders) return;
    const used = context.get(USED);
    for (const { name, window, limit, left: before } of left) {
      const rest = Math.max(0, before - (used?.get(name) ?? 0));
      const which = `${name}-${titleOf(window)}`;
      head.headers.set(`X-RateLimit-Limit-${which}`, String(limit));
      head.headers.set(`X-RateLimit-Remaining-${which}`, String(rest));
    }
  };

  const log = ({ context }: Exchange): void => {
    const left = context.get(LEFT) ?? [];
    const used = context.get(USED) ?? NOTHING;
    // As in Kong, an answer that was refused has not used anything.
    if (left.some((one) => one.left <= 0 && used.has(one.name))) return;
    const steps = left.flatMap(({ name, step }) => {
      const by = used.get(name);
      return by === undefined ? [] : [{ ...step, by }];
    });
    if (steps.length === 0) return;
    // Nobody waits for it; a store that is away has told so.
    store.take(steps).catch(() => undefined);
  };

  return {
    access,
    response,
    headerFilter,
    log,
    ...(close === undefined ? {} : { close }),
  };
}

const NOTHING: ReadonlyMap<string, number> = new Map();

/** The least that is left of one thing, by any of its limits. */
function leastOf(left: readonly Left[], name: string): number {
  return Math.min(
    ...left.filter((one) => one.name === name).map((one) => one.left),
  );
}
