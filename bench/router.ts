import type { BuildTimes, OwnRouter } from "./roles/router-own.ts";
import type { PeerRouter } from "./roles/router-peer.ts";
import { Child } from "./support/child.ts";
import type { MatchTimes } from "./support/match-times.ts";
import { megabytes, short, spread, table } from "./support/statistics.ts";

const SIZES = [1_000, 10_000, 100_000];
const MATCHES = 400_000;
const CHANGES = 500;
/** find-my-way builds itself anew for each route that goes: with more routes that takes too long to be asked for. */
const MOST_PEER_CHANGES = 10_000;

/** What finding the route of a request costs, and changing one route, beside find-my-way. */
export async function router(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  const rows: string[][] = [];
  for (const size of SIZES) {
    const routes = Math.max(100, Math.round(size * scale));
    for (const measure of [own, peer]) {
      const measured = await measure(routes);
      print(measured.join("; "));
      rows.push(measured);
    }
  }
  print(
    table(
      [
        "routes",
        "",
        "match, µs p50 / p99 / p99.9",
        "mean, µs",
        "other than expected",
        "build, ms of CPU",
        "heap, MB",
        "one change, ms of CPU",
        "one change, ms by the clock p50 / p99 / max",
      ],
      rows,
    ),
  );
}

async function own(routes: number): Promise<string[]> {
  await using child = await Child.start<OwnRouter>("router-own");
  const build = await child.call("build", routes);
  const match = await child.call("match", MATCHES);
  const { ms, cpuMs } = await child.call("change", CHANGES);
  return [...row(routes, "Holdfast", match, build), short(cpuMs), spread(ms)];
}

async function peer(routes: number): Promise<string[]> {
  await using child = await Child.start<PeerRouter>("router-peer");
  const build = await child.call("build", routes);
  const match = await child.call("match", MATCHES);
  const change =
    routes > MOST_PEER_CHANGES ? "–" : short(await child.call("change"));
  return [...row(routes, "find-my-way", match, build), change, "–"];
}

function row(
  routes: number,
  name: string,
  { us, wrong }: MatchTimes,
  { cpuMs, heapBytes }: BuildTimes,
): string[] {
  const at = (share: number): string =>
    short(us[Math.min(us.length - 1, Math.ceil(share * us.length) - 1)] ?? 0);
  return [
    String(routes),
    name,
    `${at(0.5)} / ${at(0.99)} / ${at(0.999)}`,
    short(us.reduce((sum, one) => sum + one, 0) / us.length),
    String(wrong),
    short(cpuMs),
    megabytes(heapBytes),
  ];
}
