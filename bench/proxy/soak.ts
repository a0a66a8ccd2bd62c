import { CloseStack } from "../../src/runtime/close-stack.ts";
import { residentBytes } from "../support/process-figures.ts";
import { megabytes, table } from "../support/statistics.ts";
import { startRig } from "./rig.ts";

const ROUTES = 1_000;
const MINUTES = 10;
const CHANGES_PER_SECOND = 10;
const BODY_BYTES = 10_000;

/** Whether a gateway's memory grows while it proxies and its configuration changes. */
export async function soak(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  await using stack = new CloseStack();
  const { load, gateway, plan } = await startRig(stack, ROUTES, BODY_BYTES);
  const rows: string[][] = [];
  let requests = 0;
  let failed = 0;
  for (let minute = 0; minute <= MINUTES; minute++) {
    const { busy, open } = await gateway.call("connections");
    rows.push([
      String(minute),
      String(requests),
      String(failed),
      megabytes(await gateway.call("heap")),
      megabytes(residentBytes(gateway.pid).now),
      `${busy} / ${open}`,
    ]);
    if (minute === MINUTES) break;
    const durationMs = 60_000 * scale;
    const [result] = await Promise.all([
      load.call("run", plan(durationMs)),
      gateway.call("churn", CHANGES_PER_SECOND, durationMs),
    ]);
    requests += result.requests;
    failed += result.failures.length;
  }
  print(
    table(
      [
        "minute",
        "requests",
        "failed",
        "heap after GC, MB",
        "resident, MB",
        "connections to the upstream, busy / open",
      ],
      rows,
    ),
  );
}
