import type { RedisScript } from "../redis/redis-client.ts";
import type { Usage, UsageStep, UsageStore } from "./usage.ts";

/**
 * KEYS are counters; ARGV has three values for each: what is added, its limit, when a new one ends. Answers with 1 when all
 * was added and 0 when nothing was, then with what each counter had before.
 */
const TAKE = `
local answer = {1}
for i, key in ipairs(KEYS) do
  local used = tonumber(redis.call('GET', key) or '0')
  if used >= tonumber(ARGV[3 * i - 1]) then answer[1] = 0 end
  answer[i + 1] = used
end
if answer[1] == 1 then
  for i, key in ipairs(KEYS) do
    local by = ARGV[3 * i - 2]
    if by ~= '0' then
      redis.call('INCRBY', key, by)
      if answer[i + 1] == 0 then redis.call('PEXPIREAT', key, ARGV[3 * i]) end
    end
  end
end
return answer
`;

/** Runs scripts in a Redis server. */
export interface ScriptRunner {
  /** Rejects when the server is away, or does not answer in time. */
  run(
    script: RedisScript,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<unknown>;
}

/** Counts in a Redis server, for all data planes that use it. One round trip for all counters, and exact. */
export class RedisUsage implements UsageStore {
  readonly #runner: ScriptRunner;

  constructor(runner: ScriptRunner) {
    this.#runner = runner;
  }

  async take(steps: readonly UsageStep[]): Promise<Usage> {
    const answer = await this.#runner.run(
      TAKE,
      steps.map(({ key }) => key),
      steps.flatMap(({ by, limit, expiresMs }) => [
        String(by),
        // Lua reads no "Infinity".
        String(Math.min(limit, Number.MAX_SAFE_INTEGER)),
        String(expiresMs),
      ]),
    );
    const [taken, ...before] = Array.isArray(answer) ? answer.map(Number) : [];
    return { taken: taken === 1, before };
  }
}
