import {
  compileSlices,
  type CompileContext,
  type Compiled,
} from "../../src/dp/gateway/compile/compile.ts";
import { PluginPool } from "../../src/dp/gateway/plugin-pool.ts";
import { AgentPool } from "../../src/dp/gateway/proxy/agents.ts";
import { Upstreams } from "../../src/dp/gateway/upstreams/upstreams.ts";
import { LocalCounters } from "../../src/dp/plugins/counters.ts";
import { PLUGINS } from "../../src/dp/plugins/registry.ts";
import { cursorOf } from "../../src/model/cursor.ts";
import { KINDS } from "../../src/model/kinds.ts";
import { runSlices } from "../../src/model/slices.ts";
import type { Snapshot } from "../../src/model/snapshot.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";

const UPSTREAMS = new Upstreams({
  clock: systemClock,
  logger: silentLogger,
  random: () => 0.5,
});

/** What a state is compiled with in tests. */
export function contextOf(some: Partial<CompileContext> = {}): CompileContext {
  return {
    plugins: PLUGINS,
    instances: new PluginPool({
      clock: systemClock,
      uuid: () => "uuid",
      pid: 1,
      logger: silentLogger,
      counters: new LocalCounters({ clock: systemClock }),
      metrics: undefined,
      upstreams: () => [],
    }),
    features: [
      ...KINDS.map((kind) => ({ name: `kind/${kind}`, version: 1 })),
      ...[...PLUGINS.keys()].map((name) => ({
        name: `plugin/${name}`,
        version: 1,
      })),
    ],
    agents: new AgentPool(systemClock),
    upstreams: UPSTREAMS,
    tlsVerify: false,
    onUnsupported: "refuse",
    previous: undefined,
    ...some,
  };
}

/** Compiles a state in one go. */
export function compile(
  snapshot: Snapshot,
  some: Partial<CompileContext> = {},
): Compiled {
  const cursor = cursorOf("e", 1n, snapshot.root);
  return runSlices(compileSlices({ cursor, snapshot }, contextOf(some)));
}
