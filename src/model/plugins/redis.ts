import type { DescField, DescMessage, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import {
  RedisConfigSchema,
  type RedisConfig,
} from "../../gen/holdfast/plugin/v1/redis_pb.js";
import { show, type Problem } from "../problem.ts";

/** A configuration with a Redis server, which older files give by fields of its own ("redis_host"). */
type WithRedis = MessageShape<DescMessage> & {
  redis?: RedisConfig | undefined;
};

/** Moves "redis_host" to "redis.host" and so on. One that says something else than the newer name stays, to be refused. */
export function moveRedisFields(schema: DescMessage, config: WithRedis): void {
  const message = reflect(schema, config);
  const redis = config.redis ?? create(RedisConfigSchema);
  const inner = reflect(RedisConfigSchema, redis);
  let moved = false;
  for (const { older, newer } of pairsOf(schema)) {
    if (!message.isSet(older)) continue;
    const value: unknown = message.get(older);
    if (inner.isSet(newer) && inner.get(newer) !== value) continue;
    inner.set(newer, value);
    message.clear(older);
    moved = true;
  }
  if (moved) config.redis = redis;
}

/** What is wrong with where Redis is. */
export function redisProblems(
  schema: DescMessage,
  config: WithRedis & { readonly policy?: string | undefined },
): Problem[] {
  const message = reflect(schema, config);
  const disagreeing = pairsOf(schema)
    .filter(({ older }) => message.isSet(older))
    .map(({ older, newer }) => ({
      field: older.name,
      reason: `says something else than redis.${newer.name}, whose older name it is: give one of them`,
    }));
  return config.policy === "redis" && config.redis?.host === ""
    ? [
        ...disagreeing,
        { field: "redis.host", reason: 'is required with policy "redis"' },
      ]
    : disagreeing;
}

/** Why a policy that needs Kong's database is refused, if it is that one. */
export function policyProblems(policy: string | undefined): Problem[] {
  return policy === "cluster"
    ? [
        {
          field: "policy",
          reason: `${show(policy)} counts in a database that data planes do not have; write "local" to count in each data plane by itself, or "redis" to count for all of them together`,
        },
      ]
    : [];
}

function pairsOf(
  schema: DescMessage,
): readonly { readonly older: DescField; readonly newer: DescField }[] {
  return RedisConfigSchema.fields.flatMap((newer) => {
    const older = schema.fields.find((f) => f.name === `redis_${newer.name}`);
    return older === undefined ? [] : [{ older, newer }];
  });
}
