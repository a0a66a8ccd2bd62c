import { CloseStack } from "../src/runtime/close-stack.ts";
import { proxyRequests } from "./proxy/routes.ts";
import type { GatewayPlan, ProxyGateway } from "./roles/proxy-gateway.ts";
import type { ProxyLoad } from "./roles/proxy-load.ts";
import type { ProxyUpstream } from "./roles/proxy-upstream.ts";
import type { ProxyWorkers } from "./roles/proxy-workers.ts";
import { Child } from "./support/child.ts";
import { cpuUs } from "./support/process-figures.ts";
import { median, short, table } from "./support/statistics.ts";

const CONNECTIONS = 64;
const ROUNDS = 5;
const ROUND_MS = 3_000;
const BODY_BYTES = 100;
const WORKERS = 2;

const PLANS: readonly Omit<GatewayPlan, "upstreamPort">[] = [
  { routes: 1_000, plugins: [] },
  { routes: 1_000, plugins: ["key-auth", "rate-limiting", "cors"] },
];

interface Sample {
  readonly requests: number;
  /** CPU of each process, in seconds. */
  readonly cpu: readonly number[];
}

/**
 * Two workers beside one process. How much more they serve where each has a core of its own cannot be seen on a machine
 * whose cores also make the load: so it is worked out from the CPU of the busiest of their processes, which is the one that
 * would be at its limit first.
 */
export async function workers(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  const rows: string[][] = [];
  for (const plan of PLANS) {
    await using stack = new CloseStack();
    const upstream = stack.use(
      await Child.start<ProxyUpstream>("proxy-upstream"),
    );
    const load = stack.use(await Child.start<ProxyLoad>("proxy-load"));
    const upstreamPort = await upstream.call("start", BODY_BYTES);
    const one = stack.use(await Child.start<ProxyGateway>("proxy-gateway"));
    const group = stack.use(await Child.start<ProxyWorkers>("proxy-workers"));
    const onePort = await one.call("start", { ...plan, upstreamPort });
    const { port, pids } = await group.call(
      "start",
      { ...plan, upstreamPort },
      WORKERS,
    );
    const measure = async (
      at: number,
      processes: readonly number[],
    ): Promise<Sample> => {
      const before = processes.map(cpuUs);
      const { requests, failures } = await load.call("run", {
        port: at,
        secure: false,
        connections: CONNECTIONS,
        requests: proxyRequests(plan.routes),
        bodyBytes: BODY_BYTES,
        durationMs: ROUND_MS * scale,
        rate: 0,
      });
      if (failures.length > 0) throw new Error(failures.join(", "));
      return {
        requests,
        cpu: processes.map((pid, i) => (cpuUs(pid) - (before[i] ?? 0)) / 1e6),
      };
    };
    const ratios: number[] = [];
    const shares: number[] = [];
    const parents: number[] = [];
    for (let round = -1; round < ROUNDS; round++) {
      const single = await measure(onePort, [one.pid]);
      const several = await measure(port, [group.pid, ...pids]);
      // The first one is for warming up.
      if (round < 0) continue;
      const [parent = 0, ...each] = several.cpu;
      ratios.push(perBusiest(several) / perBusiest(single));
      shares.push(Math.max(...each) / each.reduce((sum, cpu) => sum + cpu, 0));
      parents.push((parent * 1e6) / several.requests);
    }
    rows.push([
      plan.plugins.length === 0 ? "none" : plan.plugins.join(" + "),
      `**${short(median(ratios))}** [${short(Math.min(...ratios))}–${short(Math.max(...ratios))}]`,
      `${Math.round(100 * median(shares))} %`,
      short(median(parents)),
    ]);
  }
  print(
    table(
      [
        "plugins",
        `${WORKERS} workers × one process, by the busiest process's CPU [rounds]`,
        "the busier worker's share",
        "CPU of the process above them, µs a request",
      ],
      rows,
    ),
  );
}

/** Requests for each second of CPU of the process that has most to do. */
function perBusiest({ requests, cpu }: Sample): number {
  return requests / Math.max(...cpu);
}
