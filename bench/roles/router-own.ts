import { randomUUID } from "node:crypto";
import {
  compileSlices,
  type CompileContext,
} from "../../src/dp/gateway/compile/compile.ts";
import { PluginPool } from "../../src/dp/gateway/plugin-pool.ts";
import { AgentPool } from "../../src/dp/gateway/proxy/agents.ts";
import type { Runtime } from "../../src/dp/gateway/runtime.ts";
import { Upstreams } from "../../src/dp/gateway/upstreams/upstreams.ts";
import { LocalCounters } from "../../src/dp/plugins/counters.ts";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { cursorOf } from "../../src/model/cursor.ts";
import { fillDefaults } from "../../src/model/defaults.ts";
import { encodeResource } from "../../src/model/encode.ts";
import { keyOf, KINDS, kindOfResource } from "../../src/model/kinds.ts";
import { warmUpRules } from "../../src/model/rules.ts";
import { runSlices } from "../../src/model/slices.ts";
import type { Entry } from "../../src/model/bucket.ts";
import { Snapshot } from "../../src/model/snapshot.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import type { Calls } from "../support/child.ts";
import { timeMatches, type MatchTimes } from "../support/match-times.ts";
import {
  mixedRoute,
  mixService,
  routeMix,
  type MixedRequest,
} from "../support/route-mix.ts";

/** What changing one route of a state came to, in milliseconds. */
export interface ChangeTimes {
  readonly ms: readonly number[];
  /** CPU of one, garbage collection included: the mean. */
  readonly cpuMs: number;
}

/** What building a router came to. */
export interface BuildTimes {
  readonly cpuMs: number;
  readonly heapBytes: number;
}

export interface OwnRouter {
  /** Compiles a state of so many routes from nothing. */
  readonly build: (routes: number) => BuildTimes;
  readonly match: (count: number) => MatchTimes;
  /** Compiles the state again, each time with one route changed. */
  readonly change: (count: number) => ChangeTimes;
}

/** The gateway's own compiler and router. */
export function routerOwn(): OwnRouter & Calls {
  warmUpRules();
  const context = contextOf();
  let runtime: Runtime | undefined;
  let size = 0;

  function compile(snapshot: Snapshot, previous?: Runtime): Runtime {
    const cursor = cursorOf("bench", 1n, "");
    const compiled = runSlices(
      compileSlices({ cursor, snapshot }, { ...context, previous }),
    );
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.violations[0]));
    return compiled.runtime;
  }

  return {
    build(routes) {
      size = routes;
      const puts = [mixService(), ...resources(routes)].map(entryOf);
      const snapshot = edit(Snapshot.empty("default"), puts);
      globalThis.gc?.();
      const heap = process.memoryUsage().heapUsed;
      const cpu = process.cpuUsage();
      runtime = compile(snapshot);
      const { user, system } = process.cpuUsage(cpu);
      globalThis.gc?.();
      return {
        cpuMs: (user + system) / 1000,
        heapBytes: process.memoryUsage().heapUsed - heap,
      };
    },
    match(count) {
      const router = runtime?.router;
      return timeMatches([...routeMix(size)], count, (request) => {
        return router?.match(asRouted(request))?.route.id ?? "";
      });
    },
    change(count) {
      const ms: number[] = [];
      let cpuUs = 0;
      for (let i = 0; i < count && runtime !== undefined; i++) {
        const { resource } = mixedRoute((i * 7919) % size, i + 1);
        const snapshot = edit(runtime.snapshot, [entryOf(resource)]);
        const cpu = process.cpuUsage();
        const begin = performance.now();
        runtime = compile(snapshot, runtime);
        ms.push(performance.now() - begin);
        const { user, system } = process.cpuUsage(cpu);
        cpuUs += user + system;
      }
      return { ms, cpuMs: cpuUs / count / 1000 };
    },
  };
}

const NONE: readonly string[] = [];

function asRouted({ method, host, path, version }: MixedRequest) {
  const values = version === "" ? NONE : [version];
  return {
    method,
    host,
    port: 80,
    path,
    scheme: "http" as const,
    header: (name: string) => (name === "x-version" ? values : NONE),
  };
}

function* resources(routes: number): Generator<Resource> {
  for (const { resource } of routeMix(routes)) yield resource;
}

function edit(snapshot: Snapshot, puts: readonly Entry[]): Snapshot {
  return runSlices(snapshot.applySlices({ puts, deletes: [] }));
}

function entryOf(resource: Resource): Entry {
  const filled = fillDefaults(resource);
  const kind = kindOfResource(filled);
  if (kind === undefined) throw new TypeError("no kind is set");
  return {
    key: keyOf(kind, filled.kind.value?.id ?? ""),
    value: encodeResource(filled),
  };
}

function contextOf(): Omit<CompileContext, "previous"> {
  return {
    plugins: new Map(),
    instances: new PluginPool({
      clock: systemClock,
      uuid: randomUUID,
      pid: process.pid,
      logger: silentLogger,
      counters: new LocalCounters({ clock: systemClock }),
      metrics: undefined,
      upstreams: () => [],
    }),
    features: KINDS.map((kind) => ({ name: `kind/${kind}`, version: 1 })),
    agents: new AgentPool(systemClock),
    upstreams: new Upstreams({
      clock: systemClock,
      logger: silentLogger,
      random: Math.random,
    }),
    tlsVerify: false,
    onUnsupported: "refuse",
  };
}
