import type { State } from "../../src/dp/replica/last-good.ts";
import { openWatcher } from "../peers/etcd-client.ts";
import { nowNs } from "../support/acks.ts";
import { openBareStream } from "../support/bare-stream.ts";
import type { Calls } from "../support/child.ts";
import { activationOf, BenchNode, inMemory } from "../support/data-plane.ts";
import type { ClusterTls } from "../../src/runtime/tls/cluster-tls.ts";
import { clusterTls, type KeyPair } from "../support/tls.ts";

/** Who is connected to. */
export interface Target {
  readonly port: number;
  readonly pair: KeyPair | undefined;
}

export interface FleetNodes {
  /** Gives so many nodes what they need for TLS; those that have it keep it, and the tickets of their last connections. */
  readonly prepare: (
    target: Target,
    name: string,
    count: number,
  ) => Promise<void>;
  /** Takes the tickets away. */
  readonly forgetTickets: () => Promise<void>;
  /** Begins to connect so many nodes, all at once; `cached`: they come with what `fetch` got. */
  readonly openNodes: (
    target: Target,
    name: string,
    count: number,
    cached: boolean,
  ) => void;
  /** Connects one node, keeps its state for others to come with, and closes it. */
  readonly fetch: (target: Target, revision: bigint) => Promise<void>;
  /** Opens so many bare streams at once; resolves when the server has them all. */
  readonly openStreams: (
    target: Target,
    name: string,
    count: number,
  ) => Promise<void>;
  /** Opens so many watchers at once; resolves when etcd has them all. */
  readonly openWatchers: (target: Target, count: number) => Promise<void>;
  /** Opens a watcher of etcd from a revision on; resolves when it has heard of another, and is closed again. */
  readonly catchUp: (
    target: Target,
    from: number,
    until: number,
  ) => Promise<void>;
  /** How often a change has come to somebody here since `takeArrivals`. */
  readonly arrived: (name: string) => number;
  /** For each change since the last call: when each of those here had it. */
  readonly takeArrivals: (name: string) => readonly Float64Array[];
  readonly close: (name?: string) => Promise<void>;
}

/** What watchers of etcd watch. */
export const WATCHED = { from: "bench/changed/", to: "bench/changed0" };

const OPEN_MS = 10 * 60_000;

/** Data planes without gateway and disk, clients of bare streams, and watchers of etcd. */
export function fleetNodes(): FleetNodes & Calls {
  const arrivals = new Map<string, Map<bigint | number, number[]>>();
  const open = new Map<string, { readonly close: () => unknown }[]>();
  const secured = new Map<string, ClusterTls>();
  let cached: State | undefined;

  function note(name: string, item: bigint | number): void {
    let items = arrivals.get(name);
    if (items === undefined)
      arrivals.set(name, (items = new Map<bigint | number, number[]>()));
    const times = items.get(item);
    if (times === undefined) items.set(item, [nowNs()]);
    else times.push(nowNs());
  }

  /** Resolves when `done` was called so many times. */
  async function all(
    count: number,
    what: string,
    start: (done: () => void) => void,
  ): Promise<void> {
    let left = count;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${left} of ${count} ${what} did not open`));
      }, OPEN_MS);
      start(() => {
        if (--left > 0) return;
        clearTimeout(timer);
        resolve();
      });
    });
  }

  function keep(name: string, one: { readonly close: () => unknown }): void {
    const known = open.get(name);
    if (known === undefined) open.set(name, [one]);
    else known.push(one);
  }

  function node(
    { port }: Target,
    id: string,
    served: State | undefined,
    onServed: (state: State) => void,
  ): { readonly close: () => Promise<void> } {
    const tls = secured.get(id);
    const running = new BenchNode({
      id,
      controlPlane: { host: "127.0.0.1", port },
      ...(tls === undefined ? {} : { tls }),
      activation: activationOf(onServed),
      persistence: inMemory,
      served,
    });
    return { close: () => running[Symbol.asyncDispose]() };
  }

  async function close(name?: string): Promise<void> {
    for (const [known, ones] of open)
      if (name === undefined || known === name) {
        open.delete(known);
        await Promise.all(ones.map((one) => one.close()));
      }
  }

  async function prepare(
    { pair }: Target,
    name: string,
    count: number,
  ): Promise<void> {
    if (pair === undefined) return;
    for (let i = 0; i < count; i++) {
      const id = idOf(name, i);
      if (!secured.has(id)) secured.set(id, await clusterTls(pair));
    }
  }

  return {
    prepare,
    forgetTickets: async () => {
      for (const tls of secured.values()) await tls[Symbol.asyncDispose]();
      secured.clear();
    },
    openNodes: (target, name, count, withState) => {
      for (let i = 0; i < count; i++)
        keep(
          name,
          node(
            target,
            idOf(name, i),
            withState ? cached : undefined,
            ({ cursor }) => {
              note(name, cursor.revision);
            },
          ),
        );
    },
    fetch: async (target, revision) => {
      await prepare(target, "fetch", 1);
      await all(1, "nodes", (done) => {
        keep(
          "fetch",
          node(target, idOf("fetch", 0), undefined, (state) => {
            cached = state;
            if (state.cursor.revision >= revision) done();
          }),
        );
      });
      await close("fetch");
    },
    openStreams: ({ port, pair }, name, count) =>
      all(count, "streams", (done) => {
        for (let i = 0; i < count; i++) {
          let item = 0;
          keep(
            name,
            openBareStream(
              port,
              () => {
                // Messages come in the order they are sent: the n-th is the n-th.
                note(name, item++);
              },
              pair,
              done,
            ),
          );
        }
      }),
    openWatchers: ({ port, pair }, count) =>
      all(count, "watchers", (done) => {
        if (pair === undefined) throw new TypeError("etcd is spoken to by TLS");
        for (let i = 0; i < count; i++) {
          let item = 0;
          keep(
            "etcd",
            openWatcher(port, pair, WATCHED, 0, ({ created, events }) => {
              if (created) done();
              if (events > 0) note("etcd", item++);
            }),
          );
        }
      }),
    catchUp: async ({ port, pair }, from, until) => {
      if (pair === undefined) throw new TypeError("etcd is spoken to by TLS");
      await all(1, "watchers", (done) => {
        keep(
          "late",
          openWatcher(port, pair, WATCHED, from, ({ revision }) => {
            if (revision >= until) done();
          }),
        );
      });
      await close("late");
    },
    arrived: (name) => {
      let count = 0;
      for (const times of arrivals.get(name)?.values() ?? [])
        count += times.length;
      return count;
    },
    takeArrivals: (name) => {
      const items = [...(arrivals.get(name) ?? new Map<number, number[]>())];
      arrivals.delete(name);
      return items
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([, times]) => Float64Array.from(times));
    },
    close,
  };
}

/** The same in every phase of a bench, and nobody else's. */
function idOf(name: string, i: number): string {
  return `${name}-${process.pid}-${i}`;
}
