import findMyWay from "find-my-way";
import type { Calls } from "../support/child.ts";
import { timeMatches, type MatchTimes } from "../support/match-times.ts";
import { mixedRoute, routeMix, type PeerRoute } from "../support/route-mix.ts";
import type { BuildTimes } from "./router-own.ts";

export interface PeerRouter {
  readonly build: (routes: number) => BuildTimes;
  readonly match: (count: number) => MatchTimes;
  /** Takes one route away and puts it back: milliseconds of CPU. */
  readonly change: () => number;
}

type Peer = findMyWay.Instance<findMyWay.HTTPVersion.V1>;

/** find-my-way with the same routes: a prefix is a wildcard, an expression a parameter, a header a constraint. */
export function routerPeer(): PeerRouter & Calls {
  let router: Peer | undefined;
  let size = 0;

  return {
    build(routes) {
      size = routes;
      const mix = [...routeMix(routes)];
      globalThis.gc?.();
      const heap = process.memoryUsage().heapUsed;
      const cpu = process.cpuUsage();
      router = newRouter();
      for (const { id, peer } of mix)
        if (peer !== undefined) add(router, id, peer);
      const { user, system } = process.cpuUsage(cpu);
      globalThis.gc?.();
      return {
        cpuMs: (user + system) / 1000,
        heapBytes: process.memoryUsage().heapUsed - heap,
      };
    },
    match(count) {
      return timeMatches(
        [...routeMix(size)],
        count,
        ({ method, path, host, version }) => {
          const constraints =
            version === "" ? { host } : { host, xVersion: version };
          const found = router?.find(method, path, constraints);
          const store = found?.store as { readonly id: string } | undefined;
          return store?.id ?? "";
        },
      );
    },
    change() {
      const { id, peer } = mixedRoute(1, 1);
      if (peer === undefined) throw new TypeError("that route was left out");
      const cpu = process.cpuUsage();
      router?.off(peer.method, peer.path, peer.constraints);
      if (router !== undefined) add(router, id, peer);
      const { user, system } = process.cpuUsage(cpu);
      return (user + system) / 1000;
    },
  };
}

function newRouter(): Peer {
  return findMyWay({
    constraints: {
      xVersion: {
        name: "xVersion",
        storage: () => {
          const handlers = new Map<
            string,
            findMyWay.Handler<findMyWay.HTTPVersion.V1>
          >();
          return {
            get: (version) => handlers.get(version) ?? null,
            set: (version, handler) => {
              handlers.set(version, handler);
            },
          };
        },
        deriveConstraint: () => "",
        validate: () => undefined,
        mustMatchWhenDerived: false,
      },
    },
  });
}

function add(
  router: Peer,
  id: string,
  { method, path, constraints }: PeerRoute,
): void {
  router.on(method, path, { constraints }, () => undefined, { id });
}
