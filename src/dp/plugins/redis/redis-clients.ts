import { toBinary } from "@bufbuild/protobuf";
import {
  RedisConfigSchema,
  type RedisConfig,
} from "../../../gen/holdfast/plugin/v1/redis_pb.js";
import type { PluginEnvironment } from "../plugin.ts";
import { RedisClient, type RedisClientDeps } from "./redis-client.ts";

/** The use of a client until it is released. */
export interface RedisLease {
  readonly client: RedisClient;
  /** Closes the client when nobody else uses it. */
  release(): Promise<void>;
}

/** The Redis clients of a process: one for all plugins with the same settings. */
export class RedisClients {
  readonly #deps: RedisClientDeps;
  readonly #clients = new Map<
    string,
    { readonly client: RedisClient; uses: number }
  >();

  constructor(deps: RedisClientDeps) {
    this.#deps = deps;
  }

  /** How many there are. */
  get size(): number {
    return this.#clients.size;
  }

  lease(settings: RedisConfig): RedisLease {
    const key = Buffer.from(toBinary(RedisConfigSchema, settings)).toString(
      "base64",
    );
    let shared = this.#clients.get(key);
    if (shared === undefined) {
      shared = { client: new RedisClient(settings, this.#deps), uses: 0 };
      this.#clients.set(key, shared);
    }
    const { client } = shared;
    const own = shared;
    own.uses++;
    let released = false;
    return {
      client,
      release: async () => {
        if (released) return;
        released = true;
        if (--own.uses > 0) return;
        this.#clients.delete(key);
        await client.close();
      },
    };
  }
}

const clients = new WeakMap<PluginEnvironment, RedisClients>();

/** The Redis clients of the process that this environment is of. */
export function redisClientsOf(environment: PluginEnvironment): RedisClients {
  let own = clients.get(environment);
  if (own === undefined)
    clients.set(environment, (own = new RedisClients(environment)));
  return own;
}
