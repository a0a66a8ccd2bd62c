import {
  missedRequest,
  type MixedRequest,
  type MixedRoute,
} from "./route-mix.ts";

/** How long matches took, in microseconds, and how many found another route than they should have. */
export interface MatchTimes {
  readonly us: Float64Array;
  readonly wrong: number;
}

interface Asked {
  readonly request: MixedRequest;
  /** Empty for none. */
  readonly id: string;
}

const DIFFERENT_REQUESTS = 50_000;
const MISSES = 0.2;

/** Asks a router for random routes of a mix, one request in five for none, and takes the time of each. */
export function timeMatches(
  routes: readonly MixedRoute[],
  count: number,
  match: (request: MixedRequest) => string,
): MatchTimes {
  const random = seeded(1);
  const asked = Array.from({ length: DIFFERENT_REQUESTS }, (): Asked => {
    const i = Math.floor(random() * routes.length);
    const route = routes[i];
    return route === undefined || random() < MISSES
      ? { request: missedRequest(i), id: "" }
      : { request: route.request, id: route.id };
  });
  // Once round, so that everything is translated and in its place.
  let wrong = 0;
  for (const { request, id } of asked) if (match(request) !== id) wrong++;
  const us = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const one = asked[i % asked.length];
    if (one === undefined) continue;
    const begin = performance.now();
    const found = match(one.request);
    us[i] = (performance.now() - begin) * 1000;
    if (found !== one.id) wrong++;
  }
  return { us: us.sort(), wrong };
}

/** Numbers from 0 to below 1, the same in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
