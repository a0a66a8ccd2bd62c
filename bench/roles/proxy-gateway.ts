import { setTimeout as sleep } from "node:timers/promises";
import { Gateway } from "../../src/dp/gateway/gateway.ts";
import { keepRequestsYoung } from "../../src/dp/gateway/heap.ts";
import { HttpProxyForwarder } from "../../src/dp/gateway/proxy/http-proxy-forwarder.ts";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { cursorOf } from "../../src/model/cursor.ts";
import { fillDefaults } from "../../src/model/defaults.ts";
import { encodeResource } from "../../src/model/encode.ts";
import { keyOf, kindOfResource } from "../../src/model/kinds.ts";
import type { Entry } from "../../src/model/bucket.ts";
import { Snapshot } from "../../src/model/snapshot.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { driveSlices } from "../../src/runtime/slices.ts";
import { Registry } from "prom-client";
import { proxyConfiguration, proxyRoute } from "../proxy/routes.ts";
import type { Calls } from "../support/child.ts";

/** What a gateway of a bench serves. */
export interface GatewayPlan {
  readonly routes: number;
  readonly plugins: readonly string[];
  readonly upstreamPort: number;
  /** Absent: the gateway's own. */
  readonly forwarder?: "http-proxy";
  /** Whether clients come with TLS. */
  readonly secure?: boolean;
}

/** How changing went. */
export interface Churned {
  readonly changes: number;
  readonly durationMs: number;
}

export interface ProxyGateway {
  /** Compiles, serves and listens; returns the port. */
  readonly start: (plan: GatewayPlan) => Promise<number>;
  /** Changes a route so many times a second, each change compiled and committed by itself. */
  readonly churn: (perSecond: number, durationMs: number) => Promise<Churned>;
  readonly connections: () => { readonly busy: number; readonly open: number };
  /** Bytes in use after a garbage collection. */
  readonly heap: () => number;
  /** Stops accepting and waits for what is under way; returns how long that took, in milliseconds. */
  readonly close: () => Promise<number>;
}

/** A gateway by itself, as it is shipped. */
export function proxyGateway(): ProxyGateway & Calls {
  let gateway: Gateway;
  let snapshot = Snapshot.empty("default");
  let revision = 0n;
  let routes = 1;

  async function serve(puts: readonly Entry[]): Promise<void> {
    snapshot = await driveSlices(snapshot.applySlices({ puts, deletes: [] }));
    const cursor = cursorOf("bench", ++revision, snapshot.root);
    const result = await gateway.prepare({ cursor, snapshot });
    if (!result.ok) throw new Error(JSON.stringify(result.violations));
    gateway.commit(result.prepared);
  }

  return {
    start: async (plan) => {
      keepRequestsYoung();
      routes = plan.routes;
      gateway = Gateway.create({
        onUnsupported: "refuse",
        clock: systemClock,
        logger: silentLogger,
        metrics: new Registry(),
        ...(plan.forwarder === "http-proxy"
          ? { forwarder: new HttpProxyForwarder() }
          : {}),
      });
      const { plugins, upstreamPort } = plan;
      await serve(
        [...proxyConfiguration(routes, plugins, upstreamPort)].map(entryOf),
      );
      const anyPort = { host: "127.0.0.1", port: 0 };
      await gateway.open(anyPort, plan.secure === true ? anyPort : undefined);
      const address =
        plan.secure === true ? gateway.tlsAddress : gateway.address;
      return Number(address.split(":").at(-1));
    },
    churn: async (perSecond, durationMs) => {
      const startMs = performance.now();
      let changes = 0;
      for (;;) {
        const elapsed = performance.now() - startMs;
        if (elapsed >= durationMs) return { changes, durationMs: elapsed };
        if (changes < (elapsed * perSecond) / 1000)
          await serve([
            entryOf(proxyRoute((changes * 31) % routes, ++changes)),
          ]);
        else await sleep(1);
      }
    },
    close: async () => {
      const startMs = performance.now();
      await gateway.close();
      return performance.now() - startMs;
    },
    connections: () => gateway.upstreamConnections,
    heap: () => {
      // As a data plane does with each report.
      gateway.takeCounters();
      globalThis.gc?.();
      return process.memoryUsage().heapUsed;
    },
  };
}

/** The entry of a resource as the catalog stores it. */
export function entryOf(resource: Resource): Entry {
  const filled = fillDefaults(resource);
  const kind = kindOfResource(filled);
  if (kind === undefined) throw new TypeError("no kind is set");
  return {
    key: keyOf(kind, filled.kind.value?.id ?? ""),
    value: encodeResource(filled),
  };
}
