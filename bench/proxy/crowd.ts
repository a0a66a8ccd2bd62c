import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import type { CrowdClients, CrowdEnd } from "../roles/crowd-clients.ts";
import type { ProxyGateway } from "../roles/proxy-gateway.ts";
import type { LoadResult, ProxyLoad } from "../roles/proxy-load.ts";
import { Child } from "../support/child.ts";
import { residentBytes } from "../support/process-figures.ts";
import { megabytes, short, table } from "../support/statistics.ts";
import { proxyRequests } from "./routes.ts";

const SLOW = 1_000;
const IDLE = 10_000;
const BODY_BYTES = 100;
/** What others ask for meanwhile: much less than the gateway could answer, so that waiting is seen and not queueing. */
const RATE = 200;
const CONNECTIONS = 16;
const PHASE_MS = 10_000;
/** The headers of a request may take 60 s, which is looked at twice a minute; a body may pause for 60 s. */
const LIMIT_MS = 100_000;
const DRAIN_MS = 10_000;

/** What a gateway makes of many clients that are slow, and of many that want nothing, and what others notice of them. */
export async function crowd(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  await using stack = new CloseStack();
  const clients = stack.use(await Child.start<CrowdClients>("crowd-clients"));
  const load = stack.use(await Child.start<ProxyLoad>("proxy-load"));
  const gateway = stack.use(await Child.start<ProxyGateway>("proxy-gateway"));
  const upstreamPort = await clients.call("upstream", BODY_BYTES);
  const port = await gateway.call("start", {
    routes: 1,
    plugins: [],
    upstreamPort,
  });
  const [request = ""] = proxyRequests(1);
  const plan = (count: number) => ({
    port,
    clients: Math.ceil(count * scale),
    request,
  });
  const others = () =>
    load.call("run", {
      port,
      secure: false,
      connections: CONNECTIONS,
      requests: [request],
      bodyBytes: BODY_BYTES,
      durationMs: PHASE_MS * scale,
      rate: RATE,
    });
  const rows: string[][] = [];
  const phase = async (name: string, crowding: string): Promise<void> => {
    const result = await others();
    rows.push([name, crowding, ...figures(result), ...(await left())]);
  };
  const left = async (): Promise<string[]> => {
    const heap = await gateway.call("heap");
    return [
      megabytes(heap),
      megabytes(residentBytes(gateway.pid).now),
      String(readdirSync(`/proc/${gateway.pid}/fd`).length),
    ];
  };
  // The first one warms up.
  await others();
  await phase("nobody else", "0");

  const slow = await clients.call("drip", plan(SLOW));
  await phase("slow clients", String(await clients.call("open")));
  await clients.call("silence");
  const slowEnd = await clients.call("ended", LIMIT_MS);
  await sleep(1_000);
  await phase("after them", String(await clients.call("open")));

  const idle = await clients.call("idle", plan(IDLE));
  await phase("idle clients", String(await clients.call("open")));
  await clients.call("silence");
  const [drainMs, idleEnd] = await Promise.all([
    gateway.call("close"),
    clients.call("ended", DRAIN_MS),
  ]);
  rows.push([
    "after the drain",
    String(await clients.call("open")),
    ...["", "", ""],
    ...(await left()),
  ]);
  print(
    table(
      [
        "",
        "connections of the crowd",
        "requests of others",
        "failed",
        "p50 / p99, ms",
        "heap after GC, MB",
        "resident, MB",
        "file descriptors",
      ],
      rows,
    ),
  );
  print(
    `\n${slow} slow clients, from when they fell silent: ${endOf(slowEnd)}`,
  );
  print(
    `${idle} idle clients were answered 200; the drain took ${short(drainMs)} ms, and closed all after ${short(idleEnd.closed.lastMs / 1000)} s: ${idleEnd.statuses["200"] ?? 0} ended`,
  );
}

function figures({ requests, failures, p50Ms, p99Ms }: LoadResult): string[] {
  return [
    String(requests),
    String(failures.length),
    `${short(p50Ms)} / ${short(p99Ms)}`,
  ];
}

function endOf({ statuses, answered, closed }: CrowdEnd): string {
  const how = Object.entries(statuses).map(
    ([status, count]) =>
      `${count} with ${status || "nothing"} as the last answer`,
  );
  const seconds = ({ firstMs, lastMs }: CrowdEnd["closed"]): string =>
    `${short(firstMs / 1000)} to ${short(lastMs / 1000)} s`;
  return `${how.join(", ")}; answered after ${seconds(answered)}, closed after ${seconds(closed)}`;
}
